/** The layout of the gallery changes while searches go on, and whatever interrupts the change, the next start ends it. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call } from '#testkit/http-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { SearchLoad } from './search-load-for-tests.js';

interface Listed {
  readonly enrolled: number;
  readonly complete: boolean;
  readonly replicasOnRecord: readonly { readonly replicaId: string; readonly state: string }[];
}

const ONE = ['shard-0-of-1-replica-0'];
const THREE = ['shard-0-of-3-replica-0', 'shard-1-of-3-replica-0', 'shard-2-of-3-replica-0'];

describe('the layout of the gallery', () => {
  let system: RunningSystem;
  let environment: Record<string, string>;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let enrolled: number;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    environment = await RunningSystem.environment({ RATE_LIMIT: '100000' });
    [probe, system] = await Promise.all([faceImage(sample, sample.manifest.probe), RunningSystem.start(environment)]);
    ({ enrolled } = await gallery());
  });

  afterAll(() => system?.stopAndForget());

  async function gallery(): Promise<Listed> {
    const listed = await call('GET', `${system.queryUrl}/v1/galleries`, await system.token('auditor'));
    return answerOf<{ galleries: Listed[] }>(listed).galleries[0]!;
  }

  /** Just these processes, snapshots and replicas on record, and all of the gallery in them. */
  async function expectLayout(replicas: readonly string[], timeoutMs = 30_000): Promise<void> {
    await eventually(
      async () => {
        const listed = await gallery();
        expect(listed).toMatchObject({ enrolled, complete: true });
        expect(listed.replicasOnRecord.map(({ replicaId, state }) => `${replicaId} ${state}`)).toEqual(
          replicas.map((replicaId) => `${replicaId} serving`),
        );
        expect([...system.replicaPids().keys()].sort()).toEqual(replicas);
      },
      { timeoutMs },
    );
    // None where none was written yet.
    const folders = await readdir(join(environment['DATA_DIR']!, 'snapshots')).catch(() => []);
    const shares = replicas.map((replicaId) => replicaId.replace('-replica-0', ''));
    for (const folder of folders) expect(shares).toContain(folder);
  }

  test('changes to three shards and back under load: none fails, none misses anything, all are the same', async () => {
    await expectLayout(ONE);
    const load = new SearchLoad(system, await system.token('officer'), probe);
    await load.more(5);
    for (const [shards, replicas] of [
      ['3', THREE],
      ['1', ONE],
    ] as const) {
      const { code, stdout, stderr } = await system.custody('gallery', 'layout', '--shards', shards);
      expect(`${code} ${stderr}`).toBe('0 ');
      expect(stdout).toContain(`${shards} shard`);
      await expectLayout(replicas);
      await load.more(5);
    }
    await load.stop();
    expect(load.failed).toEqual([]);
    expect(load.incomplete).toEqual([]);
    expect(load.lists).toHaveLength(1);
    for (const answer of load.answers) {
      expect(answer.gallery).toMatchObject({ enrolled, partitionsMissing: [], partitionsStale: [] });
    }
  });

  test('is refused when the partitions cannot be dealt so, and nothing changes', async () => {
    const { code, stderr } = await system.custody('gallery', 'layout', '--shards', '5');
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^BAD_SETTING: --shards 5/);
    await expectLayout(ONE);
  });

  test('that was being built when everything was killed is finished by the next start', async () => {
    const from = system.said.length;
    const change = system.custody('gallery', 'layout', '--shards', '3');
    await system.untilSaid('3 shards x 1 replica wanted', 30_000, from);
    await system.kill();
    expect((await change).stderr).toMatch(/^SYSTEM_NOT_RUNNING: .*next start goes on/);
    system = await RunningSystem.start(environment);
    await system.untilSaid('gallery layout: 3 shards x 1 replica in force', 60_000);
    await expectLayout(THREE, 60_000);
  });

  test('is asked for with a start, too, and built beside what is there', async () => {
    expect(await system.stop()).toBe(0);
    system = await RunningSystem.start({ ...environment, SHARDS: '1', REPLICAS: '1' });
    await expectLayout(ONE, 60_000);
  });

  test('cannot be changed while nothing runs', async () => {
    expect(await system.stop()).toBe(0);
    const { code, stderr } = await system.custody('gallery', 'layout', '--shards', '2');
    expect(code).not.toBe(0);
    expect(stderr).toContain('SYSTEM_NOT_RUNNING');
    system = await RunningSystem.start(environment);
    await expectLayout(ONE, 30_000);
  });
});
