/**
 * What a person is told who asks what is held about them (DPA 2018 s.45): the images and why they are held, the searches
 * that returned them, who was shown what and when, and what was erased.
 *
 * Nothing about anybody else is in it. Of a search: neither its probe, nor its other candidates, nor words that
 * somebody wrote, which may name others. Of those who looked: their role, and a number by which the same person is
 * recognised within the report; section 45(2)(c) asks for recipients or categories of recipients, and officers are
 * people too. The number of the audit entry leads whoever may see it to the name.
 */
import type { HeldBy, Suppression } from './direction.js';
import type { HeldImage } from './held-image.js';
import type { ImageId, SearchId, SubjectId } from './ids.js';
import type { ReviewDate } from './retention.js';
import type { SearchKind } from './search-answer.js';

/** What the person's face came to in one search, as far as it is decided. */
export type OutcomeForSubject =
  | 'no-outcome-recorded'
  | 'confirmed'
  | 'not-confirmed'
  | 'under-review'
  | 'possible-match'
  | 'not-a-match'
  | 'added-as-suspect'
  | 'withdrawn';

/** One place at which a search returned the person. */
export interface FoundInSearch {
  readonly searchId: SearchId;
  readonly kind: SearchKind;
  /** ISO 8601. */
  readonly at: string;
  /** Of an operator-initiated search. */
  readonly grounds: string | null;
  /** Of a retrospective search. */
  readonly offence: string | null;
  readonly rank: number;
  readonly aboveThreshold: boolean;
  readonly imageId: ImageId;
  readonly outcome: OutcomeForSubject;
  /** Not closed yet: telling of it may prejudice an investigation, and data-protection staff decide (s.45(4)). */
  readonly isOpen: boolean;
}

/** An audit entry, with what the report needs of it. */
export interface AuditedUse {
  /** Of its leaf in the audit log. */
  readonly index: number;
  readonly eventId: string;
  /** ISO 8601. */
  readonly at: string;
  readonly operation: string;
  readonly action: string;
  readonly actor: string;
  readonly role: string;
  readonly system?: string;
  readonly searchId?: string;
  readonly subjectIds: readonly string[];
  readonly imageIds: readonly string[];
  readonly recipients: readonly string[];
}

export interface SubjectFacts {
  readonly subjectId: SubjectId;
  readonly images: readonly {
    readonly image: HeldImage;
    readonly review: ReviewDate;
    readonly suppression: Pick<Suppression, 'kind' | 'authority' | 'at'> | undefined;
    readonly holds: readonly HeldBy[];
  }[];
  readonly searches: readonly FoundInSearch[];
  /** Whose image it is as the register says now; undefined when it is not held. */
  readonly subjectOf: (id: ImageId) => SubjectId | undefined;
  readonly uses: readonly AuditedUse[];
  /** Whether there are more audit entries than were read, or can be believed. */
  readonly usesCutOff: boolean;
}

export interface ReportedImage {
  readonly imageId: string;
  readonly force: string | null;
  readonly custodyReference: string | null;
  readonly capturedAt: string | null;
  readonly receivedAt: string;
  readonly sex: string | null;
  readonly ageBand: string | null;
  readonly lawfulBasis: string | null;
  readonly reviewOn: string;
  readonly reviewBecause: ReviewDate['because']['rule'];
  readonly retentionPolicyVersion: number;
  readonly searchable: boolean;
  /** Why it is kept out of searches: `restricted` or `retired`, by which authority, since when. */
  readonly suppressed: {
    readonly kind: 'restricted' | 'retired';
    readonly authority: string;
    readonly since: string;
  } | null;
  readonly erasureForbiddenBy: readonly HeldBy['kind'][];
  /** The record that it came from. Inclusive. */
  readonly sourceOffset: number;
}

export interface ReportedSearch extends Omit<FoundInSearch, 'imageId'> {
  /** Null where the image is now on record as another person's, or is no longer held. */
  readonly imageId: string | null;
}

export interface ReportedUse {
  readonly at: string;
  readonly operation: string;
  readonly action: string;
  readonly role: string;
  /** A number: the same person has the same one throughout the report. Of what no person did, the system. */
  readonly by: string;
  readonly system: string | null;
  /** The people who were shown it, as `by`. */
  readonly recipients: readonly string[];
  readonly searchId: string | null;
  /** Of this person alone. */
  readonly imageIds: readonly string[];
  readonly auditIndex: number;
  readonly auditEventId: string;
}

export interface AccessReport {
  readonly subjectId: string;
  readonly generatedAt: string;
  readonly images: readonly ReportedImage[];
  /** Newest first. */
  readonly searches: readonly ReportedSearch[];
  /** Consultations, disclosures and combinations, newest first. */
  readonly accesses: readonly ReportedUse[];
  /** Collections, alterations and erasures, newest first. */
  readonly changes: readonly ReportedUse[];
  readonly cutOff: boolean;
  /** What the report does not say, and why. */
  readonly notes: readonly string[];
}

const NOTES: readonly string[] = [
  'Nothing about other people is in this report: no other candidates, no probe images, nothing in officers’ own words.',
  'Those who saw the data are given by role and number; the number of the audit entry leads to the name for whoever may see it.',
  'An image that a search returned and that is no longer held here, or was recorded for this person by mistake, is not named.',
];
const OPEN_NOTE =
  'Searches marked as open belong to investigations that are not concluded: whether they are disclosed is to be decided under DPA 2018 s.45(4) before this report is handed over.';
const CUT_OFF_NOTE =
  'There are more audit entries than are listed: the oldest of very many are left out, and any that were changed since they were written, of which an auditor has to say what they said.';
const ACCESSES: ReadonlySet<string> = new Set(['consultation', 'disclosure', 'combination']);

export function accessReport(facts: SubjectFacts, generatedAt: string): AccessReport {
  const held = new Set<string>(facts.images.map(({ image }) => image.imageId));
  const people = new People();
  const uses = newestFirst(facts.uses).map((use) => reportedUse(use, facts.subjectId, held, people));
  return {
    subjectId: facts.subjectId,
    generatedAt,
    images: facts.images.map(reportedImage),
    searches: newestFirst(facts.searches).map(({ imageId, ...search }) => ({
      ...search,
      imageId: facts.subjectOf(imageId) === facts.subjectId ? imageId : null,
    })),
    accesses: uses.filter(({ operation }) => ACCESSES.has(operation)),
    changes: uses.filter(({ operation }) => !ACCESSES.has(operation)),
    cutOff: facts.usesCutOff,
    notes: [
      ...NOTES,
      ...(facts.searches.some(({ isOpen }) => isOpen) ? [OPEN_NOTE] : []),
      ...(facts.usesCutOff ? [CUT_OFF_NOTE] : []),
    ],
  };
}

function reportedImage({ image, review, suppression, holds }: SubjectFacts['images'][number]): ReportedImage {
  return {
    imageId: image.imageId,
    force: image.force ?? null,
    custodyReference: image.custodyReference ?? null,
    capturedAt: image.capturedAt ?? null,
    receivedAt: image.acceptedAt,
    sex: image.sex ?? null,
    ageBand: image.ageBand ?? null,
    lawfulBasis: image.lawfulBasis ?? null,
    reviewOn: review.on,
    reviewBecause: review.because.rule,
    retentionPolicyVersion: review.policyVersion,
    searchable: suppression === undefined,
    suppressed:
      suppression === undefined
        ? null
        : {
            kind: suppression.kind === 'restriction' ? 'restricted' : 'retired',
            authority: suppression.authority,
            since: suppression.at,
          },
    erasureForbiddenBy: [...new Set(holds.map(({ kind }) => kind))],
    sourceOffset: image.sourceOffset,
  };
}

function reportedUse(use: AuditedUse, subject: SubjectId, held: ReadonlySet<string>, people: People): ReportedUse {
  const isAlone = use.subjectIds.length === 1 && use.subjectIds[0] === subject && use.imageIds.length === 1;
  return {
    at: use.at,
    operation: use.operation,
    action: use.action,
    role: use.role,
    by: use.role === 'system' ? (use.system ?? 'system') : people.numbered(use.actor),
    system: use.system ?? null,
    recipients: use.recipients.map((id) => people.numbered(id)),
    searchId: use.searchId ?? null,
    // An entry may be about several people's images; of one that is no longer held, nobody can tell whose it was.
    imageIds: isAlone ? use.imageIds : use.imageIds.filter((id) => held.has(id)),
    auditIndex: use.index,
    auditEventId: use.eventId,
  };
}

/** Names that say that two are the same person, and nothing else. */
class People {
  private readonly names = new Map<string, string>();

  numbered(id: string): string {
    const known = this.names.get(id);
    if (known !== undefined) return known;
    const name = `person ${this.names.size + 1}`;
    this.names.set(id, name);
    return name;
  }
}

function newestFirst<T extends { readonly at: string }>(all: readonly T[]): T[] {
  return [...all].sort((a, b) => (a.at === b.at ? 0 : a.at < b.at ? 1 : -1));
}
