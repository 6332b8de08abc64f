/**
 * A gallery that is taken over: 100,000 images from a CSV, and as many from a topic, each killed (`kill -9`) several times
 * and begun again. Almost all are refused by their first bytes, so that what is measured is the taking over and not the
 * face pipeline, which `bench -- e2e` measures; some are real faces, where those are beside the checkout.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import type { Publisher } from '#kafka/publisher.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { RunningSystem } from '#testkit/running-system.js';
import { haveFaces, people } from '../accuracy/faces.js';
import { figure, ratioAtMost, timed, type BenchResult, type Figure } from './measure.js';

const IMAGES = 100_000;
/** One of so many is a real face. */
const FACE_EVERY = 200;
/** After so many seconds of a run: not in step with anything. */
const KILLS_AFTER_S = [7.3, 11.9, 4.7, 16.1];
/** For the rate beside that of a producer that follows nothing. */
const BARE = 10_000;
const SOURCE_TOPIC = 'photographs.v1';
const SOURCE_PARTITIONS = 12;
const PUBLISHED_AT_ONCE = 2_000;
const RSS_POLL_MS = 200;
const TEXT = Buffer.from('This is not a photograph, whatever its name says.');

/** What was on its way to the broker when a run was killed: at most 256 records a kill. */
const REPEATED_RATIO_MAX = 1.005;

interface Run {
  readonly seconds: number;
  readonly rssMb: number;
  readonly stdout: string;
}

export async function benchBulk(): Promise<BenchResult> {
  const faces = haveFaces ? (await people()).map(({ images }) => images[0]!) : [];
  const system = await RunningSystem.start(
    await RunningSystem.environment({ SAMPLE_GALLERY: 'off', LOG_LEVEL: 'error' }),
  );
  const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'bench', log: silentLog });
  try {
    const bench = new BulkBench(system, kafka, faces);
    return await bench.run();
  } finally {
    await kafka.close();
    await system.stopAndForget();
  }
}

class BulkBench {
  private readonly home: string;
  private readonly publisher: Publisher;
  private readonly figures: Figure[] = [];

  constructor(
    private readonly system: RunningSystem,
    private readonly kafka: KafkaClient,
    private readonly faces: readonly string[],
  ) {
    this.home = system.environment['DATA_DIR']!;
    this.publisher = kafka.publisher();
  }

  async run(): Promise<BenchResult> {
    await writeFile(join(this.home, 'text.jpg'), TEXT);
    // Both compile as they run.
    await this.enrolled(await this.csvOf('warm', BARE / 5, false));
    const bareRates: number[] = [];
    const rates: number[] = [];
    let smallMb = 0;
    for (let round = 0; round < 3; round++) {
      bareRates.push((BARE * 1000) / (await this.bareMs(`bare-${round}`)));
      const { seconds, rssMb } = await this.enrolled(await this.csvOf(`small-${round}`, BARE, false));
      rates.push(BARE / seconds);
      smallMb = Math.max(smallMb, rssMb);
    }
    this.figures.push(figure('a producer that follows nothing, until ingest is done', 'images/s', bareRates));
    this.figures.push(figure(`custody enrol, a CSV of ${BARE}`, 'images/s', rates));

    const csv = await this.csvOf('large', IMAGES, true);
    const fromCsv = await this.killedAndResumed('from a CSV', csv);
    await this.fillTopic();
    const fromTopic = await this.killedAndResumed('from a topic', '--topic', SOURCE_TOPIC);
    await this.reconciled(csv);

    // No goal of their own: the window of records without an outcome bounds the rate where nothing is to be done, far above
    // that of faces; and what the process has is what its garbage collector lets it have, beside 150 bytes an id of a CSV.
    this.figures.push(figure(`memory of custody enrol, a CSV of ${BARE}`, 'MB', [smallMb]));
    this.figures.push(figure(`memory of custody enrol, a CSV of ${IMAGES}`, 'MB', [fromCsv.rssMb]));
    this.figures.push(figure(`memory of custody enrol, a topic of ${IMAGES}`, 'MB', [fromTopic.rssMb]));
    return {
      figures: this.figures,
      ratios: [
        ratioAtMost(
          `records sent / ${IMAGES} images of a CSV, ${KILLS_AFTER_S.length} kills`,
          fromCsv.sent,
          REPEATED_RATIO_MAX,
        ),
        ratioAtMost(
          `records sent / ${IMAGES} images of a topic, ${KILLS_AFTER_S.length} kills`,
          fromTopic.sent,
          REPEATED_RATIO_MAX,
        ),
      ],
    };
  }

  private async killedAndResumed(what: string, ...args: string[]): Promise<{ sent: number; rssMb: number }> {
    const before = await this.recordsIn(CUSTODY_IMAGES);
    for (const afterS of KILLS_AFTER_S) {
      const command = this.system.startCustody('enrol', ...args);
      const ended = once(command, 'exit');
      await new Promise((resolve) => setTimeout(resolve, afterS * 1000));
      command.kill('SIGKILL');
      await ended;
    }
    const earlier = (await this.recordsIn(CUSTODY_IMAGES)) - before;
    const { seconds, rssMb, stdout } = await this.enrolled(...args);
    const sent = (await this.recordsIn(CUSTODY_IMAGES)) - before;
    say(`${what}: ${earlier} were sent before the last run\n${stdout}`);
    const outcomes = [...stdout.matchAll(/^(?:enrolled|refused|failed|superseded) +(\d+)/gm)];
    const answered = outcomes.reduce((sum, [, n]) => sum + Number(n), 0);
    if (answered !== IMAGES) throw new Error(`${answered} of ${IMAGES} images have an outcome`);
    if (/^failed/m.test(stdout)) throw new Error('some failed');
    this.figures.push(figure(`${what}, the run that was not killed`, 'images/s', [(sent - earlier) / seconds]));
    this.figures.push(
      figure(`${what}, real faces enrolled`, 'images', [Number(/^enrolled +(\d+)/m.exec(stdout)?.[1] ?? 0)]),
    );
    return { sent: sent / IMAGES, rssMb };
  }

  private async enrolled(...args: string[]): Promise<Run> {
    const command = this.system.startCustody('enrol', ...args);
    const rss = followPeak(command);
    let stdout = '';
    command.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    let stderr = '';
    command.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(command, 'close')) as [number];
    if (code !== 0) throw new Error(`custody enrol ended with ${code}:\n${stdout}\n${stderr}`);
    // As it says itself: without the start of the process, of which a run of hours has one as well.
    const seconds = Number(/^sent \d+ in ([\d.]+) s/m.exec(stdout)![1]);
    return { seconds, rssMb: await rss(), stdout };
  }

  private async csvOf(name: string, images: number, withFaces: boolean): Promise<string> {
    const path = join(this.home, `${name}.csv`);
    const file = createWriteStream(path);
    file.write('imageId,subjectId,file,face\n');
    for (let i = 0; i < images; i++) {
      const face = withFaces && i % FACE_EVERY === 0 ? this.faces[i / FACE_EVERY] : undefined;
      const row = `${name}-${i},person-${i},${face ?? 'text.jpg'},central\n`;
      if (!file.write(row)) await once(file, 'drain');
    }
    file.end();
    await once(file, 'close');
    return path;
  }

  private async fillTopic(): Promise<void> {
    await this.kafka
      .topicAdmin()
      .applyTopics([{ name: SOURCE_TOPIC, partitions: SOURCE_PARTITIONS, replication: 1, config: {} }]);
    for (let from = 0; from < IMAGES; from += PUBLISHED_AT_ONCE) {
      const records = Array.from({ length: PUBLISHED_AT_ONCE }, async (_, i) => {
        const face = (from + i) % FACE_EVERY === 0 ? this.faces[(from + i) / FACE_EVERY] : undefined;
        return this.record(`topic-${from + i}`, SOURCE_TOPIC, face === undefined ? TEXT : await readFile(face));
      });
      await this.publisher.publishAll(await Promise.all(records));
    }
  }

  /** Milliseconds from the first record to the last outcome. */
  private async bareMs(name: string): Promise<number> {
    const before = await this.recordsIn(CUSTODY_OUTCOMES);
    const records = Array.from({ length: BARE }, (_, i) => this.record(`${name}-${i}`, CUSTODY_IMAGES, TEXT));
    return timed(async () => {
      await this.publisher.publishAll(records);
      while ((await this.recordsIn(CUSTODY_OUTCOMES)) - before < BARE) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
  }

  private record(id: string, topic: string, value: Buffer) {
    const image = { imageId: id as ImageId, subjectId: 'person' as SubjectId, face: 'central' } as const;
    return { topic, key: id, value, headers: custodyImageHeaders(image, '/bench', 'image/jpeg') };
  }

  private async reconciled(csv: string): Promise<void> {
    const ms = await timed(async () => {
      const { stdout, code, stderr } = await this.system.custody(
        'reconcile',
        csv,
        '--out',
        join(this.home, 'reconciled'),
      );
      // Most of the list was refused.
      if (code !== 2) throw new Error(`custody reconcile ended with ${code}:\n${stderr}`);
      say(stdout);
    });
    this.figures.push(figure(`custody reconcile, a list of ${IMAGES}`, 's', [ms / 1000]));
  }

  /** Every record that was ever written. */
  private async recordsIn(topic: string): Promise<number> {
    const ends = await this.kafka.topicAdmin().topicOffsets(topic);
    return [...ends.values()].reduce((sum, { high }) => sum + high, 0);
  }
}

/** @returns what stops it, and gives the most memory that the process has had, in MB */
function followPeak(command: ChildProcess): () => Promise<number> {
  let peakMb = 0;
  const look = async (): Promise<void> => {
    const status = await readFile(`/proc/${command.pid}/status`, 'utf8').catch(() => '');
    peakMb = Math.max(peakMb, Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024);
  };
  const timer = setInterval(() => void look(), RSS_POLL_MS);
  return async () => {
    clearInterval(timer);
    await look();
    return peakMb;
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
