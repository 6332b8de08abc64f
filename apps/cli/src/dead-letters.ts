/** `custody dead-letters list|replay`: what was put aside, and sending it again once the cause is mended. */
import { userInfo } from 'node:os';
import Table from 'cli-table3';
import { AuditLog } from '#audit/audit-log.js';
import { Failure } from '#domain/errors.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog, type Log } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { carryOut, planReplays, type ReplayPlan, type ReplayVerdict } from './dead-letter-replays.js';
import { placeOf, readDeadLetters, type DeadLetterFilter, type DeadLetterState } from './dead-letter-states.js';

export interface ReplayOptions extends DeadLetterFilter {
  readonly reason?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  /** Also what was sent again before, and of which nothing has come. */
  readonly again?: boolean;
  /** How long what becomes of it is waited for. */
  readonly waitSeconds: number;
  readonly json?: boolean;
}

const PUBLISH_DEADLINE_MS = 15_000;
const LOOK_AGAIN_MS = 1_000;

const MEANINGS: Readonly<Record<ReplayVerdict, string>> = {
  REPLAY: 'to be sent again',
  ERASED: 'the image was erased since, and stays so',
  SUPERSEDED: 'a later image of the same id is enrolled',
  SOURCE_GONE: 'its log has it no longer: the system that sent it must send it anew',
  REPLAYED_BEFORE: 'it was sent again, and nothing has come of it yet; --again sends it once more',
  REPAIRED: 'it has its outcome',
  NOT_REPLAYABLE: 'sending it again mends nothing: the search is to be asked for anew, or the image enrolled anew',
};

export async function listDeadLetters(
  settings: Settings,
  { json, ...filter }: DeadLetterFilter & { readonly json?: boolean },
): Promise<void> {
  const states = await withKafka(settings, (kafka) => readDeadLetters(kafka, filter));
  if (json === true) process.stdout.write(`${JSON.stringify(states, null, 2)}\n`);
  else print(states);
}

/** @throws Failure REPLAY_NOT_CONFIRMED without --yes or --dry-run; AUDIT_UNAVAILABLE; KAFKA_UNAVAILABLE */
export async function replayDeadLetters(settings: Settings, options: ReplayOptions): Promise<void> {
  const { reason, dryRun, yes, again, waitSeconds, json, ...filter } = options;
  await withKafka(settings, async (kafka, log) => {
    const plans = withAgain(await planOf(kafka, log, filter), again === true);
    const isDone = dryRun !== true && yes === true && reason !== undefined;
    if (isDone) {
      const audit = new AuditLog(kafka.publisher({ deadlineMs: PUBLISH_DEADLINE_MS }), '/custody-face-search/cli');
      const publisher = kafka.publisher({ deadlineMs: PUBLISH_DEADLINE_MS });
      const by = `cli-${userInfo().username}`;
      const sent = await carryOut(plans, { by, reason }, { audit, publisher, lookup: kafka.recordLookup() });
      const states = await followed(kafka, sent, filter, waitSeconds);
      report(plans, states, json === true);
      return;
    }
    report(plans, new Map(), json === true);
    if (dryRun === true) return;
    const what = `${plans.filter(({ verdict }) => verdict === 'REPLAY').length} records would be sent again`;
    throw new Failure('REPLAY_NOT_CONFIRMED', `${what}: say --yes and --reason, or --dry-run.`, false);
  });
}

async function planOf(kafka: KafkaClient, log: Log, filter: DeadLetterFilter): Promise<readonly ReplayPlan[]> {
  const dispositions = new DispositionFollower(kafka, log, () => undefined);
  try {
    await dispositions.start();
    return planReplays(await readDeadLetters(kafka, filter), (id) => dispositions.get(id));
  } finally {
    await dispositions.close();
  }
}

function withAgain(plans: readonly ReplayPlan[], again: boolean): readonly ReplayPlan[] {
  if (!again) return plans;
  return plans.map((plan) => (plan.verdict === 'REPLAYED_BEFORE' ? { ...plan, verdict: 'REPLAY' } : plan));
}

/** Of those that were sent, by their place, as they are when all have an outcome, or the time is over. */
async function followed(
  kafka: KafkaClient,
  sent: readonly DeadLetterState[],
  filter: DeadLetterFilter,
  waitSeconds: number,
): Promise<ReadonlyMap<string, DeadLetterState>> {
  const places = new Set(sent.map(placeOf));
  const untilMs = Date.now() + waitSeconds * 1000;
  for (;;) {
    const states = (await readDeadLetters(kafka, filter)).filter((state) => places.has(placeOf(state)));
    if (states.every(({ status }) => status !== 'replayed') || Date.now() > untilMs) {
      return new Map(states.map((state) => [placeOf(state), state]));
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function report(plans: readonly ReplayPlan[], after: ReadonlyMap<string, DeadLetterState>, asJson: boolean): void {
  const lines = plans.map(({ state, verdict }) => {
    const now = after.get(placeOf(state));
    const became =
      now === undefined ? undefined : (now.outcome ?? (now.letters > state.letters ? 'put aside again' : 'waits'));
    return { place: placeOf(state), key: state.key, verdict, ...(became !== undefined && { became }) };
  });
  if (asJson) {
    process.stdout.write(`${JSON.stringify(lines, null, 2)}\n`);
    return;
  }
  for (const { place, key, verdict, became } of lines) {
    process.stdout.write(`${verdict.padEnd(15)} ${place} ${key ?? '–'}: ${became ?? MEANINGS[verdict]}\n`);
  }
  if (lines.length === 0) process.stdout.write('There are no such dead letters.\n');
}

function print(states: readonly DeadLetterState[]): void {
  if (states.length === 0) {
    process.stdout.write('There are no such dead letters.\n');
    return;
  }
  const table = new Table({ head: ['source', 'key', 'code', 'tries', 'when', 'status', 'source there'] });
  for (const state of states) {
    const { key, code, attempts, letters, at, status, outcome, replayedAt, isSourceThere } = state;
    const tries = letters > 1 ? `${attempts}, put aside ${letters} times` : String(attempts);
    const became =
      status === 'repaired' ? `repaired: ${outcome}` : status === 'replayed' ? `replayed ${replayedAt}` : status;
    table.push([placeOf(state), key ?? '–', code, tries, at, became, isSourceThere ? 'yes' : 'no']);
  }
  process.stdout.write(`${table.toString()}\n`);
  for (const [code, all] of Map.groupBy(states, (state) => state.code)) {
    process.stdout.write(`${code}: ${all.length}; ${all[0]!.detail}\n`);
  }
}

async function withKafka<T>(settings: Settings, run: (kafka: KafkaClient, log: Log) => Promise<T>): Promise<T> {
  const log = createLog('cli', 'warn');
  const kafka = new KafkaClient({ ...kafkaConnection(settings), clientId: 'custody-cli', log });
  try {
    return await run(kafka, log);
  } finally {
    await kafka.close();
  }
}
