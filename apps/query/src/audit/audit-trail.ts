/** What the audit says about a person or an image, for those whom the law lets ask. */
import { auditLeaf, parseAuditEntry, type AuditEntry } from '#contracts/audit-record.js';
import type { AuditedUse } from '#domain/access-report.js';
import type { AuditView, FoundLeaf } from './audit-view.js';

/** With what its action alone says. */
export interface TrailEntry extends AuditedUse {
  readonly detail: NonNullable<AuditEntry['detail']>;
}

export interface Trail {
  /** Newest first. */
  readonly entries: readonly TrailEntry[];
  /** Whether there are others: older ones, or some that somebody has changed, which are evidence of nothing. */
  readonly cutOff: boolean;
}

/** A person's whole life in the log of a force; bounds what one request reads. */
const ENTRIES_MAX = 10_000;
const PAGE = 500;

export class AuditTrail {
  constructor(private readonly view: Pick<AuditView, 'size' | 'list' | 'leaf' | 'readToEnd' | 'destroyedBelow'>) {}

  /** Resolves when what is in the log by now is found. @throws Failure VIEW_BEHIND, KAFKA_UNAVAILABLE */
  upToDate(): Promise<void> {
    return this.view.readToEnd();
  }

  about(concern: { readonly subjectId: string } | { readonly imageId: string }): Trail {
    const entries: TrailEntry[] = [];
    let below = this.view.size;
    let changed = false;
    while (entries.length < ENTRIES_MAX) {
      const page = this.view.list(concern, below, PAGE);
      entries.push(...page.flatMap((leaf) => trailEntry(leaf) ?? []));
      changed ||= page.some(isChanged);
      if (page.length < PAGE) return { entries, cutOff: changed };
      below = page.at(-1)!.index;
    }
    return { entries, cutOff: true };
  }

  /** Since when every entry is there; undefined when none was ever destroyed. ISO 8601. */
  wholeSince(): string | undefined {
    const first = this.view.destroyedBelow();
    return first === 0 ? undefined : this.view.leaf(first)?.loggedAt;
  }
}

function isChanged({ body, leaf }: FoundLeaf): boolean {
  return body !== undefined && !auditLeaf(body).equals(leaf);
}

function trailEntry(found: FoundLeaf): TrailEntry | undefined {
  const { index, body } = found;
  const entry = body === undefined || isChanged(found) ? undefined : parseAuditEntry(body);
  if (entry === undefined) return undefined;
  const { eventId, at, operation, action, actor, role, system, searchId } = entry;
  return {
    index,
    eventId,
    at,
    operation,
    action,
    actor,
    role,
    ...(system !== undefined && { system }),
    ...(searchId !== undefined && { searchId }),
    subjectIds: entry.subjectIds ?? [],
    imageIds: entry.imageIds ?? [],
    recipients: entry.recipients ?? [],
    detail: entry.detail ?? {},
  };
}
