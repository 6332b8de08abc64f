/**
 * What the rules cost an officer who waits: an operator search over HTTP with everything on (token, limits, suspension,
 * grounds, two audit entries, the event) against the same search without any of it, in turns, on one broker and gallery.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { BulkEnrolment } from '../../apps/cli/src/bulk-enrolment.js';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { imageId, subjectId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { haveFaces, imageIdOf, people, readProbe, type Person } from '../accuracy/faces.js';
import { figure, median, timed, type BenchResult } from './measure.js';

const ENROLLED = 300;
const ROUNDS = 6;
const SEARCHES_PER_ROUND = 40;
const WARM_UP = 30;
const RATIO_MAX = 1.25;

export async function benchGovernance(): Promise<BenchResult> {
  if (!haveFaces) throw new Error('the face images to measure on are not beside the checkout');
  const everybody = (await people()).filter(({ images }) => images.length > 1).slice(0, ENROLLED);
  const system = await RunningSystem.start(
    await RunningSystem.environment({
      SAMPLE_GALLERY: 'off',
      LOG_LEVEL: 'error',
      // One person asks for all of them here.
      RATE_LIMIT: '100000',
    }),
  );
  let ungoverned: ChildProcess | undefined;
  try {
    await enrolFirstImages(system, everybody);
    ungoverned = fork(fileURLToPath(new URL('./reference/ungoverned-query.js', import.meta.url)), {
      env: {
        ...process.env,
        ...system.environment,
        KAFKA_BROKERS: system.settings.KAFKA_BROKERS.join(','),
        MODEL_PACK_DIR: await localModelPackFolder(),
      },
    });
    const failed = once(ungoverned, 'exit').then(() => {
      throw new Error('the service without the rules has not started');
    });
    const [port] = (await Promise.race([once(ungoverned, 'message'), failed])) as [number];
    const token = await system.token('officer');
    const probes = await Promise.all(everybody.map(readProbe));
    const governed = (probe: Buffer): Promise<void> =>
      post(`${system.queryUrl}/v1/searches/operator`, operatorForm(probe, { face: 'central' }), {
        authorization: `Bearer ${token}`,
      });
    const bare = (probe: Buffer): Promise<void> => {
      const form = new FormData();
      form.set('image', new Blob([new Uint8Array(probe)]), 'probe.jpg');
      return post(`http://127.0.0.1:${port}/search`, form, {});
    };
    for (const probe of probes.slice(0, WARM_UP)) {
      await governed(probe);
      await bare(probe);
    }
    const governedMs: number[] = [];
    const bareMs: number[] = [];
    const ratios: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const with_: number[] = [];
      const without: number[] = [];
      for (let i = 0; i < SEARCHES_PER_ROUND; i++) {
        const probe = probes[(round * SEARCHES_PER_ROUND + i) % probes.length]!;
        with_.push(await timed(() => governed(probe)));
        without.push(await timed(() => bare(probe)));
      }
      ratios.push(median(with_) / median(without));
      governedMs.push(...with_);
      bareMs.push(...without);
    }
    const ratio = median(ratios);
    return {
      figures: [
        figure('operator search with the rules, p50', 'ms', governedMs),
        figure('operator search without the rules, p50', 'ms', bareMs),
      ],
      ratios: [
        {
          name: 'operator search p50 with the rules / without',
          value: ratio,
          goal: `<= ${RATIO_MAX}`,
          holds: ratio <= RATIO_MAX,
        },
      ],
    };
  } finally {
    ungoverned?.disconnect();
    await system.stopAndForget();
  }
}

async function enrolFirstImages(system: RunningSystem, everybody: readonly Person[]): Promise<void> {
  const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'bench', log: silentLog });
  const enrolment = new BulkEnrolment(kafka, () => undefined);
  await enrolment.start();
  await enrolment.send(
    (async function* () {
      for (const person of everybody) {
        const file = person.images[0]!;
        yield {
          image: {
            imageId: imageId(imageIdOf(file)),
            subjectId: subjectId(person.subjectId),
            face: 'central' as const,
          },
          contentType: 'image/jpeg',
          read: () => readFile(file),
        };
      }
    })(),
  );
  await enrolment.close();
  await kafka.close();
}

async function post(url: string, body: FormData, headers: Record<string, string>): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  await response.json();
}
