/** What became of each record that was put aside: read from the dead letters, the outcomes, and the log of its source. */
import { parseDeadLetter, type DeadLetter } from '#contracts/dead-letter-record.js';
import { isDeadLetterReplay, parseDeadLetterReplay, type DeadLetterReplay } from '#contracts/dead-letter-replay.js';
import { partitionFor } from '#contracts/murmur2.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import {
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  deadLetters,
  galleryTemplates,
  generationOf,
  SEARCHES_COMMANDS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { RecordLookup } from '#kafka/record-lookup.js';
import { readToEnd } from '#kafka/read-to-end.js';

export interface DeadLetterFilter {
  /** Of the source, or the beginning of its name. */
  readonly topic?: string;
  readonly code?: string;
  readonly key?: string;
  /** ISO 8601, inclusive. */
  readonly since?: string;
  readonly partition?: number;
  readonly offset?: number;
}

/**
 * `open`: nothing came of it since. `replayed`: it was sent again, and nothing has come of that yet. `repaired`: the
 * source has an outcome that is none of ours to mend.
 */
export type DeadLetterStatus = 'open' | 'replayed' | 'repaired';

export interface DeadLetterState extends DeadLetter {
  /** How often it was put aside. */
  readonly letters: number;
  readonly status: DeadLetterStatus;
  /** The last time that it was sent again, ISO 8601. */
  readonly replayedAt?: string;
  readonly outcome?: ImageOutcome['outcome'];
  /** Of an image: a later one of the same id is enrolled. */
  readonly isReplaced: boolean;
  /** Whether its log has it still. */
  readonly isSourceThere: boolean;
}

interface Gathered {
  letter: DeadLetter;
  letters: number;
  replay?: DeadLetterReplay;
}

/** One for each record that was put aside, the oldest first. @throws Failure KAFKA_UNAVAILABLE, TOPIC_CHANGE_FAILED */
export async function readDeadLetters(
  kafka: KafkaClient,
  filter: DeadLetterFilter,
): Promise<readonly DeadLetterState[]> {
  const gathered = new Map<string, Gathered>();
  for (const topic of await sourceTopics(kafka)) {
    if (filter.topic !== undefined && !topic.startsWith(filter.topic)) continue;
    await gather(kafka, topic, gathered);
  }
  const wanted = [...gathered.values()].filter(({ letter }) => isWanted(letter, filter));
  const outcomes = await outcomesOf(
    kafka,
    wanted.map(({ letter }) => letter),
  );
  const lookup = kafka.recordLookup();
  try {
    const states: DeadLetterState[] = [];
    for (const one of wanted) states.push(await stateOf(one, outcomes, lookup));
    return states.sort((a, b) => a.at.localeCompare(b.at));
  } finally {
    await lookup.close();
  }
}

export function placeOf({ topic, partition, offset }: Pick<DeadLetter, 'topic' | 'partition' | 'offset'>): string {
  return `${topic}/${partition}/${offset}`;
}

async function sourceTopics(kafka: KafkaClient): Promise<readonly string[]> {
  const names = new Set(await kafka.topicAdmin().topicNames());
  const models = [...names].flatMap((name) => generationOf(name) ?? []).sort();
  const sources = [CUSTODY_IMAGES, SEARCHES_REQUESTS, SEARCHES_COMMANDS, ...models.map(galleryTemplates)];
  // A reader waits for a topic that is yet to be made; where there is none, nothing was put aside.
  return sources.filter((topic) => names.has(deadLetters(topic)));
}

async function gather(kafka: KafkaClient, topic: string, gathered: Map<string, Gathered>): Promise<void> {
  await readToEnd(kafka, deadLetters(topic), [0], ({ value, headers }) => {
    if (isDeadLetterReplay(headers)) {
      const replay = parseDeadLetterReplay(value);
      const known = gathered.get(placeOf(replay));
      if (known !== undefined) known.replay = replay;
      return;
    }
    const letter = parseDeadLetter(value);
    const place = placeOf(letter);
    const known = gathered.get(place);
    gathered.set(place, { ...known, letter, letters: (known?.letters ?? 0) + 1 });
  });
}

function isWanted(letter: DeadLetter, { code, key, since, partition, offset }: DeadLetterFilter): boolean {
  return (
    (code === undefined || letter.code === code) &&
    (key === undefined || letter.key === key) &&
    (since === undefined || Date.parse(letter.at) >= Date.parse(since)) &&
    (partition === undefined || letter.partition === partition) &&
    (offset === undefined || letter.offset === offset)
  );
}

interface Outcomes {
  /** By `partition/offset` of the source, the last that is none of a failure of ours. */
  readonly settled: ReadonlyMap<string, ImageOutcome>;
  /** By imageId, the greatest offset that was enrolled. */
  readonly enrolled: ReadonlyMap<string, number>;
}

/** Of the images among the letters: the partitions that these are in are read whole. */
async function outcomesOf(kafka: KafkaClient, letters: readonly DeadLetter[]): Promise<Outcomes> {
  const settled = new Map<string, ImageOutcome>();
  const enrolled = new Map<string, number>();
  const keys = new Set(letters.flatMap(({ topic, key }) => (topic === CUSTODY_IMAGES && key !== null ? [key] : [])));
  const partitions = new Set([...keys].map((key) => partitionFor(Buffer.from(key), TEMPLATE_PARTITIONS)));
  if (partitions.size === 0) return { settled, enrolled };
  await readToEnd(kafka, CUSTODY_OUTCOMES, [...partitions], ({ key, value }) => {
    if (!keys.has(key?.toString('utf8') ?? '')) return;
    const outcome = parseOutcome(value);
    const { partition, offset } = outcome.source;
    if (outcome.outcome === 'failed') settled.delete(`${partition}/${offset}`);
    else settled.set(`${partition}/${offset}`, outcome);
    if (outcome.outcome === 'enrolled') {
      enrolled.set(outcome.imageId, Math.max(enrolled.get(outcome.imageId) ?? -1, offset));
    }
  });
  return { settled, enrolled };
}

async function stateOf(
  { letter, letters, replay }: Gathered,
  { settled, enrolled }: Outcomes,
  lookup: RecordLookup,
): Promise<DeadLetterState> {
  const { topic, partition, offset, key, at } = letter;
  const isImage = topic === CUSTODY_IMAGES;
  const outcome = isImage ? settled.get(`${partition}/${offset}`) : undefined;
  const isReplayed = replay !== undefined && replay.at >= at;
  return {
    ...letter,
    letters,
    status: outcome !== undefined ? 'repaired' : isReplayed ? 'replayed' : 'open',
    ...(replay !== undefined && { replayedAt: replay.at }),
    ...(outcome !== undefined && { outcome: outcome.outcome }),
    isReplaced: isImage && key !== null && (enrolled.get(key) ?? -1) > offset,
    isSourceThere: await lookup.exists(topic, partition, offset as Offset),
  };
}
