/** The faults, each under load, and each with how long the images took to flow again after it. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CUSTODY_IMAGES, IMAGE_SIZE_BYTES_MAX } from '#contracts/topics.js';
import type { GroupConsumer } from '#kafka/group-consumer.js';
import { freeBytes, type FaultsScene } from './faults-scene.js';
import { IMAGES_PER_FORCE } from './image-load.js';

export interface Scenario {
  readonly name: string;
  /** @param shorter of how long it lasts, from 0 to 1 */
  readonly run: (run: ScenarioRun, shorter: number) => Promise<void>;
}

/** What a scenario needs besides the scene. */
export interface ScenarioRun {
  readonly scene: FaultsScene;
  readonly random: () => number;
  readonly say: (line: string) => void;
  /** Why it cannot be run here. */
  readonly skip: (why: string) => void;
  /** Sends an image now, the fault being over, and waits until it is enrolled. */
  readonly recovered: () => Promise<void>;
}

/** Half of what ingest can do beside the rest on two cores. */
const RECORDS_PER_S = 10;
const IMAGES = 80;
const BURST_RECORDS = 10_000;
const BURST_FACES = 200;
/** Beyond the session, and what there is to do. */
const TAKEN_OVER_WITHIN_MS = 300_000;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'broker-kills',
    run: async (run, shorter) => {
      const { scene, random } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      for (let kill = 0; kill < Math.max(2, Math.round(10 * shorter)); kill++) {
        await pause(2_000 + random() * 3_000);
        await scene.killBroker();
        await scene.startBroker();
        await run.recovered();
      }
    },
  },
  {
    name: 'outage',
    run: async (run, shorter) => {
      const { scene } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      await pause(2_000);
      await scene.killBroker();
      await pause(60_000 * shorter);
      await scene.startBroker();
      await run.recovered();
    },
  },
  {
    name: 'connection-resets',
    run: async (run, shorter) => {
      const { scene, random } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      for (let reset = 0; reset < Math.max(2, Math.round(6 * shorter)); reset++) {
        await pause(1_000 + random() * 2_000);
        await scene.proxy.poison({ type: 'reset_peer', attributes: { timeout: Math.round(random() * 50) } });
        await pause(1_500);
        await scene.proxy.heal();
        await run.recovered();
      }
    },
  },
  {
    name: 'black-hole',
    run: async (run, shorter) => {
      const { scene } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      await pause(2_000);
      await scene.proxy.poison({ type: 'timeout', attributes: { timeout: 0 } });
      await pause(45_000 * shorter);
      await scene.proxy.heal();
      await run.recovered();
    },
  },
  {
    name: 'latency',
    run: async (run, shorter) => {
      const { scene } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      await scene.proxy.poison({ type: 'latency', attributes: { latency: 300, jitter: 250 } });
      await pause(30_000 * shorter);
      await scene.proxy.heal();
      await run.recovered();
    },
  },
  {
    // It accepts connections and never answers.
    name: 'frozen-broker',
    run: async (run, shorter) => {
      const { scene } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      await pause(2_000);
      scene.freezeBroker();
      await pause(45_000 * shorter);
      scene.thawBroker();
      await run.recovered();
    },
  },
  {
    name: 'rebalance-storm',
    run: async (run, shorter) => {
      const { scene } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      const members: GroupConsumer[] = [];
      for (let second = 0; second < 30 * shorter; second++) {
        members.push(joinWithoutWorking(scene));
        await pause(1_000);
        // One comes and another goes, each second.
        if (members.length > 1) void members.shift()!.close();
      }
      await Promise.all(members.map((member) => member.close()));
      await run.recovered();
    },
  },
  {
    name: 'service-kills',
    run: async (run, shorter) => {
      const { scene, random } = run;
      scene.load.start(RECORDS_PER_S, IMAGES);
      for (let kill = 0; kill < Math.max(3, Math.round(12 * shorter)); kill++) {
        await pause(random() * 4_000);
        const service = scene.services[Math.floor(random() * scene.services.length)]!;
        await service.kill9();
        if (service.kind === 'ingest') await run.recovered();
      }
    },
  },
  { name: 'paused-ingest', run: pausedIngest },
  { name: 'disk-full', run: diskFull },
  {
    name: 'largest-images',
    run: async (run) => {
      const { load, portrait, oracle } = { ...run.scene, portrait: run.scene.portrait };
      // A JPEG ends where it says that it does; what is behind it is read and passed over.
      const largest = Buffer.concat([portrait, Buffer.alloc(IMAGE_SIZE_BYTES_MAX - portrait.length)]);
      const places = await Promise.all([0, 1, 2].map((n) => load.send(load.face(load.imageId(n, 'largest'), largest))));
      for (const place of places) {
        const outcomes = await oracle.outcomeOf(place, 60_000);
        if (outcomes?.[0]?.outcome !== 'enrolled') oracle.find('lost', 'an image of 8 MiB', JSON.stringify(outcomes));
      }
      const tooLarge = {
        ...load.face(load.imageId(3, 'largest')),
        value: Buffer.alloc(IMAGE_SIZE_BYTES_MAX + 256 * 1024),
      };
      const refusal = await run.scene.kafka
        .publisher()
        .publish(tooLarge)
        .then(
          () => 'an acknowledgement',
          (error: { code?: string }) => error.code ?? 'an error without a code',
        );
      if (refusal !== 'RECORD_TOO_LARGE') oracle.find('lost', 'more than 8 MiB', `answered with ${refusal}`);
    },
  },
  {
    name: 'burst',
    run: async (run, shorter) => {
      const { load } = run.scene;
      const records = Math.round(BURST_RECORDS * shorter);
      const every = Math.round(BURST_RECORDS / BURST_FACES);
      const started = Date.now();
      const sent = Array.from({ length: records }, (_, i) => {
        const isFace = i % every === 0;
        const id = load.imageId(isFace ? i / every : i % IMAGES_PER_FORCE, isFace ? 'burst' : 'burst-refused');
        return load.send(isFace ? load.face(id) : load.refused(id));
      });
      await Promise.all(sent);
      run.say(`    ${records} records in the log after ${Date.now() - started} ms`);
      await run.recovered();
    },
  },
  {
    // Much about few images: erasures before the first enrolment, enrolments after, twice the same, while ingest is killed.
    name: 'contended-images',
    run: async (run, shorter) => {
      const { scene, random } = run;
      for (let n = 0; n < 5; n++) void scene.load.send(await scene.load.erasure(scene.load.imageId(n, 'contended')));
      for (let round = 0; round < Math.max(2, Math.round(6 * shorter)); round++) {
        await scene.load.sendSome(60, 6);
        await pause(random() * 2_000);
        await scene.ingests()[Math.floor(random() * 2)]!.kill9();
      }
      for (let n = 0; n < 5; n++) void scene.load.send(scene.load.face(scene.load.imageId(n, 'contended')));
      await run.recovered();
    },
  },
];

/**
 * Stopped with images in its hands; its partitions go to the other one, which enrols newer images and carries out
 * erasures; then it wakes and goes on where it was.
 */
async function pausedIngest(run: ScenarioRun, shorter: number): Promise<void> {
  const { scene } = run;
  const { load, oracle } = scene;
  for (let round = 0; round < Math.max(1, Math.round(2 * shorter)); round++) {
    // More than one process has done in the time until it is stopped.
    const ids = Array.from({ length: 150 }, (_, n) => load.imageId(n, 'paused'));
    for (const id of ids) void load.send(load.face(id));
    await pause(1_000);
    const stopped = scene.ingests()[round % 2]!;
    stopped.freeze();
    const later = await Promise.all(
      ids.map(async (id, n) => load.send(n % 3 === 0 ? load.face(id) : await load.erasure(id))),
    );
    for (const place of later) {
      if ((await oracle.outcomeOf(place, TAKEN_OVER_WITHIN_MS)) === undefined) {
        oracle.find('lost', 'a partition of a paused ingest', 'nobody took it over');
        break;
      }
    }
    stopped.thaw();
    await run.recovered();
  }
}

async function diskFull(run: ScenarioRun, shorter: number): Promise<void> {
  const { scene } = run;
  if (scene.disk === undefined) {
    run.skip('the broker has no disk of its own here: it may not be mounted');
    return;
  }
  scene.load.start(RECORDS_PER_S, IMAGES);
  await pause(2_000);
  const filler = join(scene.disk, 'filler');
  const file = await open(filler, 'w');
  const block = Buffer.alloc(1024 * 1024, 1);
  try {
    for (;;) await file.write(block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
  await pause(20_000 * shorter);
  run.say(`    ${await freeBytes(scene.disk)} bytes free; the broker is ${scene.brokerIsAlive() ? 'alive' : 'gone'}`);
  await rm(filler);
  // A broker whose only log folder has failed ends, or serves nothing any more: whoever runs it starts it again.
  await scene.killBroker();
  await scene.startBroker();
  await run.recovered();
}

function joinWithoutWorking({ kafka, fatal }: FaultsScene): GroupConsumer {
  const consumer = kafka.groupConsumer({
    groupId: 'custody-ingest',
    topics: [CUSTODY_IMAGES],
    onBatch: ({ signal }) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
    onFatal: (error) => fatal.push(error),
  });
  consumer.start();
  return consumer;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
