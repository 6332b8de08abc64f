/**
 * Sends again what was put aside, each through the way that its record came. Of an image, ingest is asked to read its
 * record once more: nothing of it is copied, it keeps its place in the log's order, and a later image of the same id or
 * an erasure wins. A decision is sent as it was; whoever owns its search takes it for the same one.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { custodyReplay } from '#contracts/custody-replay.js';
import { deadLetterReplay } from '#contracts/dead-letter-replay.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { CUSTODY_IMAGES, SEARCHES_COMMANDS } from '#contracts/topics.js';
import { isErased, type Disposition } from '#domain/disposition.js';
import { imageId, type ImageId, type Offset } from '#domain/ids.js';
import type { Publisher } from '#kafka/publisher.js';
import type { RecordLookup } from '#kafka/record-lookup.js';
import { placeOf, type DeadLetterState } from './dead-letter-states.js';

/**
 * `REPLAY`: sent, or would be. The others are not: it was erased; a later image of the same id is enrolled; its log has
 * it no longer; it was sent again or has its outcome already; sending it again mends nothing.
 */
export type ReplayVerdict =
  'REPLAY' | 'ERASED' | 'SUPERSEDED' | 'SOURCE_GONE' | 'REPLAYED_BEFORE' | 'REPAIRED' | 'NOT_REPLAYABLE';

export interface ReplayPlan {
  readonly state: DeadLetterState;
  readonly verdict: ReplayVerdict;
}

export interface ReplayOrder {
  /** Who wants it; the account on this machine. */
  readonly by: string;
  readonly reason: string;
}

const CLI_SOURCE = '/custody-face-search/cli';
/** Some 10 KB: an entry that names more is no longer read by anybody. */
const RECORDS_PER_ENTRY_MAX = 100;

export function planReplays(
  states: readonly DeadLetterState[],
  dispositionOf: (id: ImageId) => Disposition | undefined,
): readonly ReplayPlan[] {
  return states.map((state) => ({ state, verdict: verdictOn(state, dispositionOf) }));
}

/** @returns those that were sent. @throws Failure AUDIT_UNAVAILABLE: then none of the rest was */
export async function carryOut(
  plans: readonly ReplayPlan[],
  order: ReplayOrder,
  parts: {
    readonly audit: Pick<AuditLog, 'append'>;
    readonly publisher: Pick<Publisher, 'publish'>;
    readonly lookup: Pick<RecordLookup, 'read'>;
  },
): Promise<readonly DeadLetterState[]> {
  const wanted = plans.filter(({ verdict }) => verdict === 'REPLAY').map(({ state }) => state);
  const sent: DeadLetterState[] = [];
  for (let from = 0; from < wanted.length; from += RECORDS_PER_ENTRY_MAX) {
    const some = wanted.slice(from, from + RECORDS_PER_ENTRY_MAX);
    await parts.audit.append([statementOf(some, order)]);
    for (const state of some) {
      const record = await recordOf(state, parts.lookup);
      if (record === undefined) continue;
      await parts.publisher.publish(record);
      const { topic, partition, offset, key } = state;
      const replay = { topic, partition, offset, ...order, at: new Date().toISOString() };
      await parts.publisher.publish(deadLetterReplay(replay, key, CLI_SOURCE));
      sent.push(state);
    }
  }
  return sent;
}

function verdictOn(state: DeadLetterState, dispositionOf: (id: ImageId) => Disposition | undefined): ReplayVerdict {
  const id = state.topic === CUSTODY_IMAGES ? imageOf(state) : undefined;
  if (state.topic !== SEARCHES_COMMANDS && id === undefined) return 'NOT_REPLAYABLE';
  if (state.status === 'repaired') return 'REPAIRED';
  if (id !== undefined && isErased(dispositionOf(id), state.offset as Offset)) return 'ERASED';
  if (state.isReplaced) return 'SUPERSEDED';
  if (!state.isSourceThere) return 'SOURCE_GONE';
  return state.status === 'replayed' ? 'REPLAYED_BEFORE' : 'REPLAY';
}

/** @returns undefined for a key that is no image's: whatever is done, no outcome could name it */
function imageOf({ key }: DeadLetterState): ImageId | undefined {
  try {
    return imageId(key ?? '');
  } catch {
    return undefined;
  }
}

async function recordOf(
  state: DeadLetterState,
  lookup: Pick<RecordLookup, 'read'>,
): Promise<OutgoingRecord | undefined> {
  const { topic, partition, offset, key } = state;
  const at = offset as Offset;
  if (topic === CUSTODY_IMAGES) return custodyReplay({ imageId: key as ImageId, offset: at }, partition, CLI_SOURCE);
  const source = await lookup.read(topic, partition, at);
  if (source === undefined) return undefined;
  return { topic, partition, key: source.key, value: source.value, headers: { ...source.headers } };
}

function statementOf(states: readonly DeadLetterState[], { by, reason }: ReplayOrder): AuditStatement {
  const images = states.filter(({ topic }) => topic === CUSTODY_IMAGES);
  return {
    operation: images.length > 0 ? 'collection' : 'alteration',
    action: 'dead-letters-replayed',
    actor: by,
    role: 'system',
    system: CLI_SOURCE,
    purpose: 'dead-letter-replay',
    justification: reason,
    imageIds: images.flatMap(({ key }) => key ?? []),
    detail: { records: states.map(placeOf).join(' ') },
  };
}
