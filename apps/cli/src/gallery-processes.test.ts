import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSettings, type Settings } from '#platform/settings.js';
import { replicasOf, type GalleryLayout } from './gallery-layout.js';
import { GalleryProcesses, layoutRequestFile, readLayoutState } from './gallery-processes.js';
import { writeStateFile } from './state-file.js';
import type { SupervisedProcess } from './supervisor.js';

const ONE = { shards: 1, replicas: 1 };
const THREE = { shards: 3, replicas: 1 };
const FOUR = { shards: 2, replicas: 2 };

/** A machine on which index processes run, write snapshots, and report, without being any. */
class Machine {
  readonly running = new Map<string, SupervisedProcess>();
  readonly onRecord = new Set<string>();
  readonly dead = new Set<string>();
  /** Whether what runs serves already. */
  caughtUp = true;
  /** Calls that fail from now on, as while the query service is away. */
  failing = 0;
  /** Replicas that serve, after each change to what runs. */
  readonly history: (readonly string[])[] = [];

  readonly supervisor = {
    start: (spec: SupervisedProcess): void => {
      expect([...this.running.keys()], 'a name twice').not.toContain(spec.name);
      this.running.set(spec.name, spec);
      mkdirSync(join(spec.environment!['SNAPSHOT_DIR']!, 'model'), { recursive: true });
      this.onRecord.add(spec.environment!['REPLICA_ID']!);
      this.observe();
    },
    end: (name: string): Promise<void> => {
      this.running.delete(name);
      this.observe();
      return Promise.resolve();
    },
    deathsOf: (name: string): number => (this.dead.has(name) ? 4 : 0),
  };

  readonly replicas = {
    serving: (): Promise<ReadonlySet<string>> => {
      this.failIfAsked();
      return Promise.resolve(new Set(this.caughtUp ? this.ids() : []));
    },
    retire: (replicaIds: readonly string[]): Promise<void> => {
      this.failIfAsked();
      for (const replicaId of replicaIds) this.onRecord.delete(replicaId);
      return Promise.resolve();
    },
  };

  ids(): string[] {
    return [...this.running.values()].map(({ environment }) => environment!['REPLICA_ID']!).sort();
  }

  /** Everything ends with `custody up`; what is on disk and on record stays. */
  crash(): void {
    this.running.clear();
    this.history.length = 0;
  }

  private failIfAsked(): void {
    if (this.failing-- > 0) throw new Error('away');
  }

  private observe(): void {
    this.history.push(this.ids());
  }
}

describe('the index processes of a local gallery', () => {
  let folder: string;
  let settings: Settings;
  let machine: Machine;
  let said: string[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'layout-'));
    settings = readSettings({ DATA_DIR: folder, INDEX_PORT: '23600' });
    machine = new Machine();
    said = [];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function start(asked?: GalleryLayout): Promise<GalleryProcesses> {
    const gallery = await GalleryProcesses.open(settings, (line) => said.push(line), asked);
    await gallery.start(machine.supervisor);
    return gallery;
  }

  const ask = (layout: GalleryLayout): Promise<void> => writeStateFile(layoutRequestFile(folder), layout);
  const step = (gallery: GalleryProcesses): Promise<void> => gallery.step(machine.supervisor, machine.replicas);
  const ids = (layout: GalleryLayout): string[] =>
    replicasOf(layout, folder)
      .map(({ replicaId }) => replicaId)
      .sort();

  async function expectSettled(layout: GalleryLayout): Promise<void> {
    expect(machine.ids()).toEqual(ids(layout));
    expect([...machine.onRecord].sort()).toEqual(ids(layout));
    const folders = replicasOf(layout, folder).map(({ snapshotDir }) => snapshotDir.slice(folder.length + 11));
    expect((await readdir(join(folder, 'snapshots'))).sort()).toEqual(folders.sort());
    expect(await readLayoutState(folder)).toMatchObject({ inForce: layout, wanted: layout, leftovers: [] });
  }

  it('are one, where nothing else is said, and as many as are asked for with the first start', async () => {
    await start();
    await expectSettled(ONE);
    await rm(folder, { recursive: true });
    machine.crash();
    machine.onRecord.clear();
    await start(FOUR);
    await expectSettled(FOUR);
    const environments = [...machine.running.values()].map(({ environment }) => environment!);
    expect(new Set(environments.map(({ INDEX_PORT }) => INDEX_PORT)).size).toBe(4);
    expect(environments.map(({ SHARD, SHARDS }) => `${SHARD}/${SHARDS}`).sort()).toEqual(['0/2', '0/2', '1/2', '1/2']);
  });

  it('are the same again with a second start that says nothing', async () => {
    await start(FOUR);
    machine.crash();
    await start();
    await expectSettled(FOUR);
  });

  it('change beside each other: the former ones go only when every new one serves', async () => {
    const gallery = await start();
    machine.caughtUp = false;
    await ask(THREE);
    await step(gallery);
    for (let i = 0; i < 3; i++) await step(gallery);
    expect(machine.ids()).toEqual([...ids(ONE), ...ids(THREE)].sort());
    expect(await readLayoutState(folder)).toMatchObject({ inForce: ONE, change: { state: 'building' } });
    machine.caughtUp = true;
    await step(gallery);
    expect(await readLayoutState(folder)).toMatchObject({ inForce: THREE, change: { state: 'clearing' } });
    expect(machine.ids()).toEqual([...ids(ONE), ...ids(THREE)].sort());
    await step(gallery);
    await expectSettled(THREE);
    expect(await readLayoutState(folder)).toMatchObject({ change: { state: 'done' } });
  });

  it('of which some belong to both layouts go on running', async () => {
    const gallery = await start(ONE);
    await ask({ shards: 1, replicas: 3 });
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled({ shards: 1, replicas: 3 });
    await ask(ONE);
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(ONE);
    // Never was there a moment without the one that was there from the start.
    for (const running of machine.history) expect(running).toContain(ids(ONE)[0]);
  });

  it.each([1, 2, 3, 4, 5, 6])(
    'finish a change that was interrupted after %i steps, with the next start',
    async (steps) => {
      const gallery = await start();
      machine.caughtUp = false;
      await ask(THREE);
      for (let i = 0; i < steps; i++) {
        machine.caughtUp = i > 1;
        // The last one fails in its middle.
        machine.failing = i === steps - 1 ? 1 : 0;
        await step(gallery).catch(() => undefined);
      }
      machine.crash();
      machine.failing = 0;
      machine.caughtUp = true;
      const again = await start();
      for (let i = 0; i < 4; i++) await step(again);
      await expectSettled(THREE);
      // At each moment the layout in force was there as a whole.
      const whole = (running: readonly string[], layout: GalleryLayout): boolean =>
        ids(layout).every((one) => running.includes(one));
      const first = machine.history.findIndex((running) => whole(running, ONE) || whole(running, THREE));
      for (const running of machine.history.slice(first))
        expect(whole(running, ONE) || whole(running, THREE)).toBe(true);
    },
  );

  it.each([1, 2, 3])('go back to what was, after %i steps, when the next start asks for that', async (steps) => {
    const gallery = await start();
    machine.caughtUp = false;
    await ask(THREE);
    for (let i = 0; i < steps; i++) await step(gallery);
    machine.crash();
    machine.caughtUp = true;
    const again = await start(ONE);
    for (let i = 0; i < 3; i++) await step(again);
    await expectSettled(ONE);
  });

  it('leave nothing behind when another layout is asked for before the first one is there', async () => {
    const gallery = await start();
    machine.caughtUp = false;
    await ask(THREE);
    for (let i = 0; i < 2; i++) await step(gallery);
    await ask(FOUR);
    for (let i = 0; i < 2; i++) await step(gallery);
    machine.caughtUp = true;
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(FOUR);
  });

  it('stay as they are when a process of the new layout cannot start, and say so', async () => {
    const gallery = await start();
    machine.caughtUp = false;
    await ask(THREE);
    await step(gallery);
    machine.dead.add('index shard-1-of-3-replica-0');
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(ONE);
    const { change } = (await readLayoutState(folder))!;
    expect(change).toMatchObject({ state: 'failed', text: expect.stringContaining('shard-1-of-3-replica-0') });
    expect(said.join('\n')).toContain('1 shard x 1 replica stays');
    // The cause is gone, and it is asked for again.
    machine.dead.clear();
    machine.caughtUp = true;
    await ask(THREE);
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(THREE);
  });

  it('stay as they are when what is asked for cannot be dealt to the workers of each', async () => {
    settings = readSettings({ DATA_DIR: folder, INDEX_PORT: '23600', WORKERS: '3' });
    const gallery = await start();
    await ask({ shards: 12, replicas: 1 });
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(ONE);
    const { change } = (await readLayoutState(folder))!;
    expect(change).toMatchObject({ state: 'failed', text: expect.stringContaining('WORKERS=3') });
  });

  it('are done at once when what is asked for is there already', async () => {
    const gallery = await start();
    await ask(ONE);
    await step(gallery);
    expect(await readLayoutState(folder)).toMatchObject({ change: { state: 'done' } });
    await expectSettled(ONE);
  });

  it('that an earlier version has left are found again, and a layout asked for is built beside them', async () => {
    await mkdir(join(folder, 'snapshots', 'shard-0-of-1', 'model'), { recursive: true });
    const gallery = await start(FOUR);
    expect(machine.ids()).toEqual(ids(ONE));
    for (let i = 0; i < 3; i++) await step(gallery);
    await expectSettled(FOUR);
  });
});
