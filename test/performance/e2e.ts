/**
 * The whole system against the bare pipeline: an operator search over HTTP, and enrolment. The rounds of the two take
 * turns, so that both see the machine in the same mood.
 *
 * With the topics of production: those of a local start rewrite each written log every 20 seconds, so that an erasure is
 * seen to be destroyed within a minute, which takes a third of the broker's time. `TOPIC_PROFILE=local` measures that.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { BulkEnrolment } from '../../apps/cli/src/bulk-enrolment.js';
import { imageId, subjectId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { haveFaces, imageIdOf, people, readProbe } from '../accuracy/faces.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { cpuTimed, figure, median, quantile, timed, type BenchResult, type Figure } from './measure.js';
import { cpuMsByPart, cpuMsOfChildren } from './process-cpu.js';
import { ReferencePipeline } from './reference/pipeline.js';
import { ReferencePool } from './reference/pool.js';

/** Long rounds: in each, the system waits once for its last images while the bare pipeline does not. */
const ENROL_ROUNDS = 3;
/** Both compile as they run, and a gallery is enrolled for hours: the first images say nothing of that. */
const ENROL_WARM_UP = 400;
const SEARCH_ROUNDS = 6;
const SEARCHES_PER_ROUND = 50;
const WARM_UP = 20;
const CANDIDATES = 6;
const SEARCH_RATIO_MAX = 1.8;
const ENROL_RATIO_MIN = 0.75;

export async function benchEndToEnd(): Promise<BenchResult> {
  if (!haveFaces) throw new Error('the face images to measure on are not beside the checkout');
  const everybody = await people();
  const cores = availableParallelism();
  const packFolder = await localModelPackFolder();
  const pool = await ReferencePool.open(packFolder, cores);
  const reference = await ReferencePipeline.open(packFolder);
  const system = await RunningSystem.start(
    await RunningSystem.environment({
      SAMPLE_GALLERY: 'off',
      LOG_LEVEL: 'error',
      RATE_LIMIT: '100000',
      TOPIC_PROFILE: process.env['TOPIC_PROFILE'] ?? 'production',
    }),
  );
  const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'bench', log: silentLog });
  try {
    const enrolment = new BulkEnrolment(kafka, () => undefined);
    await enrolment.start();
    const gallery: Float32Array[] = [];
    const images = await Promise.all(
      everybody.map(async (person) => ({ person, bytes: await readFile(person.images[0]!) })),
    );
    const systemRates: number[] = [];
    const bareRates: number[] = [];
    const cpu = new CpuShares(system.settings.DATA_DIR);
    let bareCpuMs = 0;
    const perRound = Math.ceil(images.length / ENROL_ROUNDS);
    const enrolBare = (share: typeof images): Promise<Float32Array[]> => pool.run(share.map(({ bytes }) => bytes));
    const enrolInSystem = (share: typeof images): Promise<void> =>
      enrolment.send(
        asyncItems(
          share.map(({ person, bytes }) => ({
            image: {
              imageId: imageId(imageIdOf(person.images[0]!)),
              subjectId: subjectId(person.subjectId),
              face: 'central' as const,
            },
            contentType: 'image/jpeg',
            read: () => Promise.resolve(bytes),
          })),
        ),
      );
    await enrolBare(images.slice(0, ENROL_WARM_UP));
    await enrolInSystem(images.slice(0, ENROL_WARM_UP));
    for (let round = 0; round < ENROL_ROUNDS; round++) {
      const share = images.slice(round * perRound, (round + 1) * perRound);
      const before = cpuMsOfChildren();
      const bareMs = await timed(async () => {
        gallery.push(...(await enrolBare(share)));
      });
      // The system rests meanwhile, but for what it does when nothing is asked of it; its own children are not counted.
      bareCpuMs += cpuMsOfChildren() - before;
      bareRates.push((share.length * 1000) / bareMs);
      systemRates.push((share.length * 1000) / (await cpu.during(() => timed(() => enrolInSystem(share)))));
    }
    const enrolCpu = [
      figure('bare pipeline, CPU', 'ms/image', [bareCpuMs / images.length]),
      ...cpu.figures('enrolment, CPU', images.length),
    ];
    await enrolment.close();

    const matrix = new Float32Array(gallery.length * gallery[0]!.length);
    gallery.forEach((template, i) => matrix.set(template, i * template.length));
    const token = await system.token('officer');
    const probes = await Promise.all(everybody.filter(({ images: all }) => all.length > 1).map(readProbe));
    const searchOnce = async (probe: Buffer): Promise<void> => {
      const response = await fetch(`${system.queryUrl}/v1/searches/operator`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body: operatorForm(probe, { face: 'central' }),
      });
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      await response.json();
    };
    const bareOnce = async (probe: Buffer): Promise<void> => {
      const { template } = await reference.run(probe, 'central');
      reference.search(template, matrix, CANDIDATES);
    };
    for (const probe of probes.slice(0, WARM_UP)) {
      await searchOnce(probe);
      await bareOnce(probe);
    }
    const searchMs: number[] = [];
    const bareMs: number[] = [];
    const ratios50: number[] = [];
    for (let round = 0; round < SEARCH_ROUNDS; round++) {
      const share = Array.from(
        { length: SEARCHES_PER_ROUND },
        (_, i) => probes[(WARM_UP + round * SEARCHES_PER_ROUND + i) % probes.length]!,
      );
      const ofSystem: number[] = [];
      const ofBare: number[] = [];
      for (const probe of share) {
        ofSystem.push(await timed(() => searchOnce(probe)));
        ofBare.push(await timed(() => bareOnce(probe)));
      }
      ratios50.push(median(ofSystem) / median(ofBare));
      searchMs.push(...ofSystem);
      bareMs.push(...ofBare);
    }
    const enrolRatio = median(systemRates.map((rate, i) => rate / bareRates[i]!));
    const searchRatio = median(ratios50);
    return {
      figures: [
        figure('operator search over HTTP, p50', 'ms', searchMs),
        { ...figure('operator search over HTTP, p99', 'ms', searchMs), value: quantile(searchMs, 0.99) },
        figure('bare pipeline and search, p50', 'ms', bareMs),
        { ...figure('bare pipeline and search, p99', 'ms', bareMs), value: quantile(bareMs, 0.99) },
        figure('enrolment', 'images/s', systemRates),
        figure(`bare pipeline on ${cores} cores`, 'images/s', bareRates),
        ...enrolCpu,
      ],
      ratios: [
        {
          name: 'operator search p50 / bare pipeline p50',
          value: searchRatio,
          goal: `<= ${SEARCH_RATIO_MAX}`,
          holds: searchRatio <= SEARCH_RATIO_MAX,
        },
        {
          name: 'enrolment rate / bare pipeline rate',
          value: enrolRatio,
          goal: `>= ${ENROL_RATIO_MIN}`,
          holds: enrolRatio >= ENROL_RATIO_MIN,
        },
      ],
    };
  } finally {
    await kafka.close();
    pool.close();
    await reference.close();
    await system.stopAndForget();
  }
}

/** What the system's parts, and this process, which is its client, used of the processors. */
class CpuShares {
  readonly #ms = new Map<string, number>();

  constructor(private readonly dataFolder: string) {}

  async during<T>(run: () => Promise<T>): Promise<T> {
    const before = cpuMsByPart(this.dataFolder);
    let result: T;
    const ownMs = await cpuTimed(async () => (result = await run()));
    for (const [part, ms] of cpuMsByPart(this.dataFolder)) this.add(part, ms - (before.get(part) ?? 0));
    this.add('client', ownMs);
    return result!;
  }

  figures(name: string, images: number): Figure[] {
    const total = [...this.#ms.values()].reduce((sum, ms) => sum + ms, 0);
    return [...this.#ms, ['all', total] as const].map(([part, ms]) =>
      figure(`${name}: ${part}`, 'ms/image', [ms / images]),
    );
  }

  private add(part: string, ms: number): void {
    this.#ms.set(part, (this.#ms.get(part) ?? 0) + ms);
  }
}

async function* asyncItems<T>(items: readonly T[]): AsyncIterable<T> {
  for (const item of items) yield await Promise.resolve(item);
}
