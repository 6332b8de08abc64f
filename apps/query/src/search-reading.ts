/** Shows searches to those who may see them. Each look is in the audit before it is answered. */
import type { AuditLog } from '#audit/audit-log.js';
import { parseSearchListQuery } from '#contracts/search-forms.js';
import { isSuppressed, type Disposition } from '#domain/disposition.js';
import { Refusal } from '#domain/errors.js';
import { hasRole, type Actor, type Role } from '#domain/identity.js';
import type { ImageId, SearchId } from '#domain/ids.js';
import type { Candidate, FoundAnswer, SearchAnswer, SearchKind } from '#domain/search-answer.js';
import type { SearchSummary, SearchView, ViewedSearch } from './search-view.js';

export interface SearchPage {
  readonly searches: readonly SearchSummary[];
  readonly nextCursor: string | null;
}

/** A candidate whose image was erased, restricted or retired since: its rank is kept, nothing else. */
export interface WithdrawnCandidate {
  readonly rank: number;
  readonly withdrawn: true;
}

export interface ShownSearch {
  readonly searchId: SearchId;
  readonly kind: SearchKind;
  readonly state: string;
  readonly version: number;
  readonly receivedAt: string;
  readonly updatedAt: string;
  readonly by: string;
  readonly request: unknown;
  readonly faces: unknown;
  readonly failure: unknown;
  readonly answer:
    (Omit<SearchAnswer, 'candidates'> & { candidates: readonly (Candidate | WithdrawnCandidate)[] }) | null;
}

export class SearchReading {
  constructor(
    private readonly view: SearchView,
    private readonly audit: AuditLog,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
  ) {}

  /** @throws Refusal SEARCH_NOT_FOUND, NOT_YOUR_SEARCH; Failure AUDIT_UNAVAILABLE */
  async one(actor: Actor, id: SearchId): Promise<ShownSearch> {
    const viewed = this.view.get(id);
    if (viewed === undefined) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    const role = roleFor(actor, viewed);
    if (role === undefined) throw new Refusal('NOT_YOUR_SEARCH', 'This search is not yours to see.');
    const shown = this.show(viewed);
    const candidates = (shown.answer?.candidates ?? []).filter(
      (candidate): candidate is Candidate => 'imageId' in candidate,
    );
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'search-viewed',
        actor: actor.id,
        role,
        purpose: 'review',
        searchId: id,
        subjectIds: candidates.map((candidate) => candidate.subjectId),
        imageIds: candidates.map((candidate) => candidate.imageId),
        recipients: [actor.id],
      },
    ]);
    return shown;
  }

  /** A search that was just put into the log; QUEUED while no owner has taken it up. */
  async submitted(actor: Actor, id: SearchId): Promise<ShownSearch> {
    if (this.view.get(id) !== undefined) return this.one(actor, id);
    const now = new Date().toISOString();
    const nothing = { request: null, faces: null, failure: null, answer: null };
    return {
      searchId: id,
      kind: 'retrospective',
      state: 'QUEUED',
      version: 0,
      receivedAt: now,
      updatedAt: now,
      by: actor.id,
      ...nothing,
    };
  }

  /** Newest first. Operators see retrospective searches, everybody their own. */
  async list(actor: Actor, query: Readonly<Record<string, unknown>>): Promise<SearchPage> {
    const { kind, state, cursor, limit } = parseSearchListQuery(query);
    const all = hasRole(actor, ['operator']);
    const page = this.view.list({
      kind: all ? (kind ?? 'retrospective') : kind,
      state,
      by: all && kind !== 'operator' ? undefined : actor.id,
      cursor,
      limit,
    });
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'searches-listed',
        actor: actor.id,
        role: all ? 'operator' : actor.roles.find((role) => role !== 'operator')!,
        purpose: 'review',
        detail: { searches: page.searches.length },
      },
    ]);
    return page;
  }

  private show(viewed: ViewedSearch): ShownSearch {
    const { kind, search } = viewed;
    if (kind === 'refused') {
      return {
        kind: 'retrospective',
        searchId: search.searchId,
        state: 'REFUSED',
        version: 0,
        receivedAt: search.at,
        updatedAt: search.at,
        by: search.by,
        request: null,
        faces: null,
        failure: { code: search.code, detail: search.detail },
        answer: null,
      };
    }
    const common = { kind, searchId: search.searchId, version: search.version };
    if (kind === 'operator') {
      return {
        ...common,
        state: 'ANSWERED',
        receivedAt: search.at,
        updatedAt: search.at,
        by: search.by,
        request: { grounds: search.grounds, justification: search.justification, deviceId: search.deviceId },
        faces: null,
        failure: null,
        answer: this.withoutWithdrawn(search.answer),
      };
    }
    return {
      ...common,
      state: search.state,
      receivedAt: search.receivedAt,
      updatedAt: search.updatedAt,
      by: search.operator,
      request: search.request,
      faces: search.faces ?? null,
      failure: search.failure ?? null,
      answer: search.answer === undefined ? null : this.withoutWithdrawn(search.answer),
    };
  }

  private withoutWithdrawn(answer: FoundAnswer): ShownSearch['answer'] {
    return {
      ...answer,
      candidates: answer.candidates.map(({ sourceOffset, ...candidate }) =>
        isSuppressed(this.dispositionOf(candidate.imageId), sourceOffset)
          ? { rank: candidate.rank, withdrawn: true as const }
          : candidate,
      ),
    };
  }
}

function roleFor(actor: Actor, { kind, search }: ViewedSearch): Role | undefined {
  if (kind === 'operator') return actor.roles.includes('officer') && search.by === actor.id ? 'officer' : undefined;
  if (actor.roles.includes('operator')) return 'operator';
  if (kind === 'refused') return undefined;
  const named = search.request.investigatingOfficer === actor.id;
  return named && actor.roles.includes('investigating-officer') ? 'investigating-officer' : undefined;
}
