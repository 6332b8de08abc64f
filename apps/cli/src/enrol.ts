import { resolve } from 'node:path';
import { SingleBar } from 'cli-progress';
import { Failure } from '#domain/errors.js';
import type { FaceChoice } from '#domain/face.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import { recordOf } from './bulk-enrolment.js';
import { imagesToEnrol, type ImageToEnrol } from './enrol-source.js';
import { metadataHash } from './enrolment-journal.js';
import { EnrolmentRun, type NotedRecord, type RunOptions, type RunResult } from './enrolment-run.js';

export interface EnrolOptions {
  readonly face?: FaceChoice;
  readonly force?: string;
  readonly restart?: boolean;
}

export interface EnrolledImages extends RunResult {
  readonly total: number;
  /** Those that earlier runs have had answered. */
  readonly earlier: number;
}

/** Enrols a folder or CSV, shows how far it is, and ends when what was sent is searchable. */
export async function enrol(settings: Settings, source: string, options: EnrolOptions): Promise<void> {
  const common = {
    ...(options.face !== undefined && { face: options.face }),
    ...(options.force !== undefined && { force: options.force }),
  };
  const progress = new EnrolmentProgress();
  const result = await enrolImages(
    settings,
    { source: resolve(source), restart: options.restart === true, progress },
    () => imagesToEnrol(source, common),
  ).finally(() => progress.stop());
  if (result.total === 0) throw new Failure('NOTHING_TO_ENROL', `There is no image in ${source}.`, false);
  report(result);
}

/**
 * Sends the images that no earlier run has sent, and resolves when each has its outcome and what was enrolled is
 * searchable. They are gone through twice: nothing is sent before all are known to be named rightly.
 */
export async function enrolImages(
  settings: Settings,
  options: Pick<RunOptions, 'source' | 'restart'> & { readonly progress?: EnrolmentProgress },
  images: () => Promise<AsyncIterable<ImageToEnrol>>,
): Promise<EnrolledImages> {
  const { progress } = options;
  return withKafka(settings, async (kafka) => {
    const run = await EnrolmentRun.open(kafka, settings, { ...options, onAnswer: () => progress?.answered() });
    try {
      let total = 0;
      let earlier = 0;
      run.journal.beginPass();
      try {
        for await (const { image } of await images()) {
          total++;
          if (run.journal.seen(image.imageId, metadataHash(image))) earlier++;
        }
      } finally {
        run.journal.endPass();
      }
      earlier -= run.journal.awaited().length;
      progress?.start(total, earlier);
      for await (const item of await images()) {
        const record = notedRecordOf(item);
        if (!run.journal.isDone(record.key, record.noted.metadataSha256)) await run.submit(record);
      }
      return { ...(await run.finish()), total, earlier };
    } finally {
      await run.close();
    }
  });
}

export async function withKafka<T>(settings: Settings, use: (kafka: KafkaClient) => Promise<T>): Promise<T> {
  const kafka = new KafkaClient({
    ...kafkaConnection(settings),
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  try {
    return await use(kafka);
  } finally {
    await kafka.close();
  }
}

function notedRecordOf(item: ImageToEnrol): NotedRecord {
  const { imageId } = item.image;
  const metadataSha256 = metadataHash(item.image);
  return { ...recordOf(item), noted: { key: imageId, imageId, from: item.from ?? '', metadataSha256 } };
}

/** How far an enrolment is, how fast, and how long it will take: on a terminal as a bar, else a line every 5 s. */
export class EnrolmentProgress {
  private readonly bar = new SingleBar({
    format: 'enrolling [{bar}] {percentage}% | {value}/{total} | {rate} images/s | {eta_formatted} to go',
    noTTYOutput: true,
    notTTYSchedule: 5_000,
    etaBuffer: 500,
  });
  private startedAtMs: number | undefined;
  private answers = 0;

  start(total: number, earlier: number): void {
    if (earlier > 0) say(`${earlier} of ${total} images have their outcome from an earlier run`);
    if (total === 0) return;
    this.bar.start(total, earlier, { rate: '-' });
    this.startedAtMs = Date.now();
  }

  answered(): void {
    if (this.startedAtMs === undefined) return;
    this.answers++;
    this.bar.increment(1, { rate: ((this.answers * 1000) / Math.max(1, Date.now() - this.startedAtMs)).toFixed(1) });
  }

  stop(): void {
    this.bar.stop();
  }
}

/** @throws Failure IMAGES_FAILED */
export function report({ sent, durationMs, counts, advice, rejectsFile }: RunResult): void {
  const seconds = durationMs / 1000;
  say(
    `sent ${sent} in ${seconds.toFixed(1)} s (${(sent / Math.max(0.1, seconds)).toFixed(1)} a second), all searchable`,
  );
  for (const { outcome, code, records } of counts.toSorted((a, b) => order(a.outcome) - order(b.outcome))) {
    say(`${outcome.padEnd(10)} ${records}${code === null ? '' : ` ${code}`}`);
  }
  for (const [text, records] of [...advice].sort((a, b) => b[1] - a[1])) say(`warning    ${records} ${text}`);
  if (rejectsFile !== undefined) say(`what was not enrolled, and why: ${rejectsFile}`);
  if (counts.some(({ outcome }) => outcome === 'failed')) {
    throw new Failure(
      'IMAGES_FAILED',
      'Some images failed for a reason of ours; run the same command again to retry them.',
      true,
    );
  }
}

const ORDER = ['enrolled', 'restricted', 'erased', 'superseded', 'refused', 'failed'];

function order(outcome: string): number {
  return ORDER.indexOf(outcome);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
