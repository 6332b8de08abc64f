/**
 * Many photographs in a row through the whole system: what ingest and its face processes hold of memory after a thousand,
 * and at the end.
 */
import { readFile } from 'node:fs/promises';
import { BulkEnrolment } from '../../apps/cli/src/bulk-enrolment.js';
import { imageId, subjectId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { RunningSystem } from '#testkit/running-system.js';
import { imageIdOf, people } from '../accuracy/faces.js';
import { figure, ratioAtMost, type BenchResult } from './measure.js';
import { residentBytesByPart } from './process-cpu.js';

const WARM_UP = 1_000;
/** How often memory is looked at: one look would hit a moment before or after the collector came by. */
const IMAGES_PER_LOOK = 250;
const LOOKS = 4;
const PARTS = ['ingest', 'ingest: faces'];
const RATIO_MAX = 1.1;
const MIB = 1024 * 1024;

/** @param images at least 3,000; of those on hand, over and over, each time under ids of their own */
export async function benchEnrolMemory(images: number): Promise<BenchResult> {
  if (!(images >= 3 * WARM_UP))
    throw new Error(`--images ${images} is too few to say anything: at least ${3 * WARM_UP}`);
  const paths = (await people()).flatMap((person) => person.images);
  const system = await RunningSystem.start(
    await RunningSystem.environment({ SAMPLE_GALLERY: 'off', LOG_LEVEL: 'error' }),
  );
  const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'bench', log: silentLog });
  try {
    const enrolment = new BulkEnrolment(kafka, () => undefined);
    await enrolment.start();
    const looks: Map<string, number>[] = [];
    for (let from = 0; from < images; from += IMAGES_PER_LOOK) {
      await enrolment.send(photographs(paths, from, Math.min(images, from + IMAGES_PER_LOOK)));
      const parts = residentBytesByPart(system.settings.DATA_DIR);
      looks.push(new Map(PARTS.map((part) => [part, (parts.get(part) ?? 0) / MIB])));
      if (from % WARM_UP === 0)
        process.stderr.write(`${from} of ${images}: ${[...looks.at(-1)!.values()].join(', ')} MiB\n`);
    }
    await enrolment.close();
    const first = looks.slice(WARM_UP / IMAGES_PER_LOOK, WARM_UP / IMAGES_PER_LOOK + LOOKS);
    const last = looks.slice(-LOOKS);
    const of = (some: typeof looks, part: string): number[] => some.map((look) => look.get(part)!);
    return {
      figures: PARTS.flatMap((part) => [
        figure(`${part}, after ${WARM_UP} images`, 'MiB', of(first, part)),
        figure(`${part}, after ${images} images`, 'MiB', of(last, part)),
      ]),
      ratios: PARTS.map((part) => {
        const ratio = Math.max(...of(last, part)) / Math.max(...of(first, part));
        return ratioAtMost(`${part}: memory at the end / after ${WARM_UP}`, ratio, RATIO_MAX);
      }),
    };
  } finally {
    await kafka.close();
    await system.stopAndForget();
  }
}

async function* photographs(paths: readonly string[], from: number, to: number) {
  for (let i = from; i < to; i++) {
    const path = paths[i % paths.length]!;
    const id = `${imageIdOf(path)}-${Math.floor(i / paths.length)}`;
    yield {
      image: { imageId: imageId(id), subjectId: subjectId(id), face: 'central' as const },
      contentType: 'image/jpeg',
      read: () => readFile(path),
    };
    await Promise.resolve();
  }
}
