import { SingleBar } from 'cli-progress';
import { Failure } from '#domain/errors.js';
import type { FaceChoice } from '#domain/face.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { BulkEnrolment, type EnrolmentTally } from './bulk-enrolment.js';
import { imagesToEnrol, type ImageToEnrol } from './enrol-source.js';
import { EnrolmentJournal, type JournalLine } from './enrolment-journal.js';
import { ServiceClient } from './service-client.js';

const SEARCHABLE_TIMEOUT_MS = 120_000;
const POLL_MS = 250;

export interface EnrolOptions {
  readonly face?: FaceChoice;
  readonly force?: string;
  readonly restart?: boolean;
}

/** Enrols a folder or CSV, shows how far it is, and ends when what was sent is searchable. */
export async function enrol(settings: Settings, source: string, options: EnrolOptions): Promise<void> {
  const common = {
    ...(options.face !== undefined && { face: options.face }),
    ...(options.force !== undefined && { force: options.force }),
  };
  const images: ImageToEnrol[] = [];
  for await (const image of await imagesToEnrol(source, common)) images.push(image);
  if (images.length === 0) throw new Failure('NOTHING_TO_ENROL', `There is no image in ${source}.`, false);
  const journal = await EnrolmentJournal.open(settings.DATA_DIR, source, options.restart === true);
  const { todo, answered: earlier } = journal.compare(images);
  const done = earlier.length;
  if (done > 0) say(`${done} of ${images.length} images have their outcome from an earlier run`);

  const bar = new SingleBar({
    format: 'enrolling [{bar}] {percentage}% | {value}/{total} | {rate} images/s | {eta_formatted} to go',
    noTTYOutput: true,
    notTTYSchedule: 5_000,
    etaBuffer: 500,
  });
  bar.start(images.length, done, { rate: '-' });
  const startedAtMs = Date.now();
  let answered = 0;
  const tally = await enrolAll(settings, todo, (outcome) => {
    journal.record(outcome);
    answered++;
    bar.increment(1, { rate: ((answered * 1000) / Math.max(1, Date.now() - startedAtMs)).toFixed(1) });
  }).finally(async () => {
    bar.stop();
    await journal.close();
  });
  print(tally, earlier, Date.now() - startedAtMs);
  if (tally.failed.size > 0) {
    throw new Failure(
      'IMAGES_FAILED',
      'Some images failed for a reason of ours; run the same command again to retry them.',
      true,
    );
  }
}

/** Sends the images, and resolves when each has its outcome and what was enrolled is searchable. */
export async function enrolAll(
  settings: Settings,
  images: readonly ImageToEnrol[],
  onOutcome: ConstructorParameters<typeof BulkEnrolment>[1],
): Promise<EnrolmentTally> {
  const kafka = new KafkaClient({
    brokers: settings.KAFKA_BROKERS,
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  const enrolment = new BulkEnrolment(kafka, onOutcome);
  try {
    await enrolment.start();
    await enrolment.send(iterate(images));
    await untilSearchable(settings, enrolment.searchableAt);
    return enrolment.tally;
  } finally {
    await enrolment.close();
    await kafka.close();
  }
}

async function* iterate<T>(items: readonly T[]): AsyncIterable<T> {
  for (const item of items) yield await Promise.resolve(item);
}

async function untilSearchable(settings: Settings, ends: ReadonlyMap<number, number>): Promise<void> {
  if (ends.size === 0) return;
  const client = new ServiceClient(settings, 'service');
  const deadline = Date.now() + SEARCHABLE_TIMEOUT_MS;
  for (;;) {
    const { galleries } = await client.call<{ galleries: { watermark: Record<string, number> }[] }>(
      'GET',
      '/v1/galleries',
    );
    const watermark = galleries[0]?.watermark ?? {};
    if ([...ends].every(([partition, end]) => (watermark[partition] ?? 0) >= end)) return;
    if (Date.now() > deadline) {
      throw new Failure(
        'NOT_SEARCHABLE_YET',
        'Everything is enrolled, but the index has not read all of it yet.',
        true,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function print(tally: EnrolmentTally, earlier: readonly JournalLine[], durationMs: number): void {
  const enrolledEarlier = earlier.filter(({ outcome }) => outcome === 'enrolled').length;
  say(`sent ${tally.sent} in ${(durationMs / 1000).toFixed(1)} s, all searchable`);
  say(`enrolled   ${tally.enrolled}${enrolledEarlier > 0 ? ` (and ${enrolledEarlier} earlier)` : ''}`);
  for (const [advice, number] of [...tally.advice].sort((a, b) => b[1] - a[1])) say(`warning    ${number} ${advice}`);
  for (const [code, number] of [...tally.refused].sort()) say(`refused    ${number} ${code}`);
  if (tally.superseded > 0) say(`superseded ${tally.superseded}`);
  for (const [code, number] of tally.failed) say(`failed     ${number} ${code}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
