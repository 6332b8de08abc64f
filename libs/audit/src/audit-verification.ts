/**
 * Verifies an audit log from a copy of it, without the system that wrote it: that its history is the one that was
 * signed, and that each entry is the one whose leaf is in it.
 *
 * Flow: the log's own leaves are hashed up to the size of each signed checkpoint. The first root that differs says
 * between which two checkpoints the log was changed; the *sealed leaves*, a second copy of the leaves that lies beside
 * the checkpoints and is believed only as far as its own root is signed, then say at which leaf. Whose entry is missing,
 * or does not hash to its leaf, is found leaf by leaf, also in what is not sealed yet.
 */
import { auditLeaf, destructionOf, parseAuditEntry } from '#contracts/audit-record.js';
import type { LoggedLeaf, SealedLeaves } from '#contracts/audit-seal-record.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { leafHash, MerkleFrontier } from './merkle-tree.js';

/** What is known of an entry: enough to verify it, and to say which one it is. */
export interface KeptEntry {
  /** SHA-256 of its bytes: its leaf, if nobody changed either. */
  readonly leaf: Buffer;
  readonly at: string | undefined;
  /** When it says that entries were destroyed at the end of their retention: those of the leaves below. Exclusive. */
  readonly destroyedBelow: number | undefined;
}

export function keptEntry(body: Buffer): KeptEntry {
  const entry = parseAuditEntry(body);
  return {
    leaf: auditLeaf(body),
    at: entry?.at,
    destroyedBelow: entry === undefined ? undefined : destructionOf(entry)?.belowIndex,
  };
}

export interface AuditCopy {
  /** When the copying began, milliseconds since 1970: what was being written then may be half there. */
  readonly copiedAtMs: number;
  /** When it ended: nothing in the copy was written later. */
  readonly copyEndedAtMs: number;
  /** As they are in the log now, in its order. */
  readonly leaves: readonly LoggedLeaf[];
  /** By eventId. */
  readonly entries: ReadonlyMap<string, KeptEntry>;
  /** That are signed, of the log's own topic. */
  readonly checkpoints: readonly SignedCheckpoint[];
  /** Records on the topic of the checkpoints that nobody with a known key has signed. */
  readonly unsignedCheckpoints: number;
  readonly sealed: readonly SealedLeaves[];
}

/** What the verifier has kept where nobody else can write: a checkpoint, or the append-only copy of many. */
export interface HeldSeals {
  readonly checkpoints: readonly SignedCheckpoint[];
  readonly sealed: readonly SealedLeaves[];
}

export type AuditFindingKind =
  | 'entry-changed'
  | 'entry-missing'
  | 'event-id-changed'
  | 'leaf-changed'
  | 'removed'
  | 'inserted'
  | 'reordered'
  | 'between-checkpoints'
  | 'two-histories'
  | 'checkpoint-unsigned'
  | 'not-sealed';

export interface AuditFinding {
  readonly kind: AuditFindingKind;
  /** Of the first leaf concerned; undefined where it is not about one. */
  readonly index: number | undefined;
  /** Exclusive; more than the next one only of leaves that are not sealed, or where no second copy says which it is. */
  readonly toIndex: number | undefined;
  readonly eventId: string | undefined;
  /** ISO 8601: of the entry, or of its leaf when the entry is gone. */
  readonly at: string | undefined;
}

export interface AuditReport {
  /** In the order of the log; empty when the log is what was signed. */
  readonly findings: readonly AuditFinding[];
  readonly leaves: number;
  readonly entries: number;
  /** Leaves whose entry was destroyed at the end of its retention, as the log itself says. */
  readonly destroyed: number;
  /** Entries whose writer never wrote the leaf, so that their effect never was. */
  readonly unlogged: number;
  /** Entries that were being written when the copy was made: their leaf had yet to come. */
  readonly inFlight: number;
  readonly checkpoints: number;
  /** The history up to here, exclusive, is signed and as it was signed. */
  readonly verifiedTo: number;
  /** Leaves after the last checkpoint; those that should have been sealed by then are a finding. */
  readonly unsealed: number;
}

/** Between an entry and its leaf: the writers' deadlines. */
const IN_FLIGHT_MS = 60_000;
/**
 * Between a leaf and its seal: ten seconds at most while a sealer is at work, a takeover included, and room for clocks
 * that differ. Where it takes longer, AuditUnsealed is about to page.
 */
const UNSEALED_MS_MAX = 60_000;

/** @param held checkpoints whose signatures were verified, as those of the copy */
export function verifyAudit(copy: AuditCopy, held: HeldSeals = { checkpoints: [], sealed: [] }): AuditReport {
  const signed = [...held.checkpoints, ...copy.checkpoints].toSorted((a, b) => a.size - b.size);
  const history = compareHistory(copy, held, signed);
  const bodies = compareEntries(copy);
  const findings = [...history.findings];
  // A leaf that was changed no longer fits its entry; that is one finding, not two.
  const known = new Set(findings.flatMap(({ kind, index }) => (kind === 'leaf-changed' ? [index] : [])));
  const exact = bodies.findings.filter(({ index }) => !known.has(index));
  findings.push(...exact);
  for (let i = 0; i < copy.unsignedCheckpoints; i++) findings.push(findingWithoutIndex('checkpoint-unsigned'));
  const sealedTo = signed.at(-1)?.size ?? 0;
  findings.push(...overdue(copy, sealedTo));
  return {
    findings: findings.toSorted((a, b) => (a.index ?? Infinity) - (b.index ?? Infinity)),
    leaves: copy.leaves.length,
    entries: copy.entries.size,
    destroyed: bodies.destroyed,
    unlogged: bodies.unlogged,
    inFlight: bodies.inFlight,
    checkpoints: signed.length,
    verifiedTo: history.verifiedTo,
    unsealed: Math.max(0, copy.leaves.length - sealedTo),
  };
}

/**
 * Leaves after the last checkpoint that should have one: nobody has signed what they say, so that whoever runs Kafka may
 * have put them there, or may have taken the checkpoints away. Their dates are not hashed, so that one which cannot be
 * true, of a time after the copy, excuses nothing.
 *
 * @param sealedTo exclusive
 */
function overdue({ leaves, copiedAtMs, copyEndedAtMs }: AuditCopy, sealedTo: number): AuditFinding[] {
  const isOverdue = ({ loggedAt }: LoggedLeaf): boolean => {
    const atMs = Date.parse(loggedAt);
    const isJustWritten = atMs > copiedAtMs - UNSEALED_MS_MAX && atMs < copyEndedAtMs + UNSEALED_MS_MAX;
    return !isJustWritten;
  };
  const index = leaves.findIndex((leaf, i) => i >= sealedTo && isOverdue(leaf));
  if (index < 0) return [];
  const { eventId, loggedAt: at } = leaves[index]!;
  return [{ kind: 'not-sealed', index, toIndex: leaves.findLastIndex(isOverdue) + 1, eventId, at }];
}

/**
 * The leaves that a signed root vouches for: of those copies of them that there are, the first that reaches `size`, else
 * the one that reaches furthest.
 */
function referenceLeaves(
  copy: AuditCopy,
  held: HeldSeals,
  signed: readonly SignedCheckpoint[],
  size: number,
): LoggedLeaf[] {
  let furthest: LoggedLeaf[] = [];
  for (const sealed of [copy.sealed, held.sealed, [...held.sealed, ...copy.sealed]]) {
    const leaves = vouchedFor(assemble(sealed), signed);
    if (leaves.length > furthest.length) furthest = leaves;
    if (furthest.length >= size) break;
  }
  return furthest;
}

/** Of spans that overlap, the first that has a leaf counts. Ends at the first gap. */
function assemble(sealed: readonly SealedLeaves[]): LoggedLeaf[] {
  const leaves: LoggedLeaf[] = [];
  for (const { from, leaves: span } of sealed.toSorted((a, b) => a.from - b.from)) {
    if (from > leaves.length) break;
    for (const leaf of span.slice(leaves.length - from)) leaves.push(leaf);
  }
  return leaves;
}

function vouchedFor(leaves: readonly LoggedLeaf[], signed: readonly SignedCheckpoint[]): LoggedLeaf[] {
  const { matches } = compareRoots(leaves, signed);
  return leaves.slice(0, matches);
}

/**
 * @returns `matches`: the largest size up to which every root is as signed; `differs`: the next signed size, where it is
 *   not, or which the leaves do not reach
 */
function compareRoots(
  leaves: readonly LoggedLeaf[],
  signed: readonly SignedCheckpoint[],
): { readonly matches: number; readonly differs: number | undefined } {
  const frontier = new MerkleFrontier();
  let matches = 0;
  for (const { size, root } of signed) {
    if (size > leaves.length) return { matches, differs: size };
    while (frontier.size < size) frontier.append(leafHash(leaves[frontier.size]!.leaf));
    if (!frontier.root().equals(root)) return { matches, differs: size };
    matches = size;
  }
  return { matches, differs: undefined };
}

function compareHistory(
  copy: AuditCopy,
  held: HeldSeals,
  signed: readonly SignedCheckpoint[],
): { readonly findings: readonly AuditFinding[]; readonly verifiedTo: number } {
  const forked = signed.some(({ size, root }, i) => signed[i + 1]?.size === size && !signed[i + 1]!.root.equals(root));
  const findings = forked ? [findingWithoutIndex('two-histories')] : [];
  const { matches, differs } = compareRoots(copy.leaves, signed);
  if (differs !== undefined) {
    findings.push(locate(copy.leaves, referenceLeaves(copy, held, signed, differs), matches, differs));
  }
  return { findings, verifiedTo: matches };
}

/** @param from inclusive, @param to exclusive: the first difference lies between, because the roots there say so */
function locate(log: readonly LoggedLeaf[], reference: readonly LoggedLeaf[], from: number, to: number): AuditFinding {
  for (let index = from; index < Math.min(to, reference.length); index++) {
    const was = reference[index]!;
    const is = log[index];
    if (is !== undefined && is.leaf.equals(was.leaf)) continue;
    const kind = whatHappened(log, reference, index);
    const concerned = kind === 'inserted' ? is! : was;
    return { kind, index, toIndex: index + 1, eventId: concerned.eventId, at: concerned.loggedAt };
  }
  const first = Math.max(from, Math.min(to, reference.length));
  // Nothing beyond the log's end can have been changed: it was removed, though nobody knows what it was.
  if (first >= log.length)
    return { kind: 'removed', index: log.length, toIndex: to, eventId: undefined, at: undefined };
  const { eventId, loggedAt: at } = log[first]!;
  const only = to === first + 1;
  return only
    ? { kind: 'leaf-changed', index: first, toIndex: to, eventId, at }
    : { kind: 'between-checkpoints', index: first, toIndex: to, eventId: undefined, at };
}

/** The log and the copy of it that is vouched for differ first at `index`. */
function whatHappened(log: readonly LoggedLeaf[], reference: readonly LoggedLeaf[], index: number): AuditFindingKind {
  const was = reference[index]!.leaf;
  const is = log[index]?.leaf;
  if (is === undefined) return 'removed';
  const same = (a: LoggedLeaf | undefined, b: LoggedLeaf | undefined): boolean =>
    a !== undefined && b !== undefined && a.leaf.equals(b.leaf);
  const later = log.findIndex(({ leaf }, i) => i > index && leaf.equals(was));
  const elsewhere = reference.some(({ leaf }, i) => i > index && leaf.equals(is));
  if (later < 0) {
    // What follows moved up, or it stands where it stood.
    return elsewhere && !same(log[index + 1], reference[index + 1]) ? 'removed' : 'leaf-changed';
  }
  return elsewhere ? 'reordered' : 'inserted';
}

function compareEntries(copy: AuditCopy): {
  readonly findings: readonly AuditFinding[];
  readonly destroyed: number;
  readonly unlogged: number;
  readonly inFlight: number;
} {
  const { leaves, entries, copiedAtMs } = copy;
  const isRecent = (at: string | undefined): boolean => at !== undefined && Date.parse(at) > copiedAtMs - IN_FLIGHT_MS;
  const destroyedBelow = destructionsIn(copy);
  const logged = new Set(leaves.map(({ eventId }) => eventId));
  const unlogged = new Map([...entries].filter(([eventId]) => !logged.has(eventId)));
  const byLeaf = new Map([...unlogged].map(([eventId, { leaf }]) => [leaf.toString('hex'), eventId]));
  const findings: AuditFinding[] = [];
  let destroyed = 0;
  for (const [index, { leaf, eventId, loggedAt }] of leaves.entries()) {
    const entry = entries.get(eventId);
    const finding = (kind: AuditFindingKind, id: string, at: string): void => {
      findings.push({ kind, index, toIndex: index + 1, eventId: id, at });
    };
    if (entry?.leaf.equals(leaf) === true) continue;
    const renamed = byLeaf.get(leaf.toString('hex'));
    if (renamed !== undefined) {
      finding('event-id-changed', renamed, unlogged.get(renamed)!.at ?? loggedAt);
      unlogged.delete(renamed);
    } else if (entry !== undefined) finding('entry-changed', eventId, entry.at ?? loggedAt);
    else if (index < destroyedBelow) destroyed++;
    // Never one that was being written: Kafka acknowledges an entry before its leaf is sent, and an export reads the
    // entries from where they end after its last leaf was read. The leaf's date, which is not hashed, excuses nothing.
    else finding('entry-missing', eventId, loggedAt);
  }
  const inFlight = [...unlogged.values()].filter(({ at }) => isRecent(at)).length;
  return { findings, destroyed, inFlight, unlogged: unlogged.size - inFlight };
}

/** Exclusive: below it, entries were destroyed as the log says, in an entry that is itself whole. */
function destructionsIn({ leaves, entries }: AuditCopy): number {
  let below = 0;
  for (const [index, { leaf, eventId }] of leaves.entries()) {
    const entry = entries.get(eventId);
    if (entry?.destroyedBelow === undefined || !entry.leaf.equals(leaf)) continue;
    // Nobody can destroy what comes after the decision.
    below = Math.max(below, Math.min(entry.destroyedBelow, index));
  }
  return below;
}

function findingWithoutIndex(kind: AuditFindingKind): AuditFinding {
  return { kind, index: undefined, toIndex: undefined, eventId: undefined, at: undefined };
}
