import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import { ShardHost, type ShardWorkerOptions } from './shard-host.js';
import type { TemplateChange } from './template-change.js';
import { faceLikeVector, seededRandom } from './vectors-for-tests.js';

const DIMENSION = 64;
const MODES = ['exact', 'approximate'] as const;

let base: string;
const hosts: ShardHost[] = [];

beforeAll(() => {
  const built = fileURLToPath(new URL('../../../dist/libs/gallery/src/shard-worker.js', import.meta.url));
  if (!existsSync(built)) throw new Error('a worker thread runs what was built: npm run build');
});

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'shard-host-'));
});

afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close({ snapshot: false })));
  await rm(base, { recursive: true, force: true });
});

async function start(more: Partial<ShardWorkerOptions> = {}): Promise<ShardHost> {
  const host = await ShardHost.start({
    clusterId: 'MkU3OEVBNTcwNTJENDM2Qg',
    modelId: modelId('0123456789abcdef'),
    dimension: DIMENSION,
    layout: { shards: 1, shard: 0, workers: 1, worker: 0 },
    partitions: [0, 1],
    snapshotFolder: join(base, 'worker-0'),
    autoExactMaxTemplates: 100_000,
    recallSampleShare: 0,
    ...more,
  });
  hosts.push(host);
  return host;
}

function template(number: number, sourceOffset = number): TemplateChange & { kind: 'template' } {
  const id = imageId(`i${number}`);
  return {
    kind: 'template',
    partition: number % 2,
    offset: offset(number),
    imageId: id,
    timestampMs: 0,
    vector: faceLikeVector(seededRandom(number), DIMENSION),
    metadata: { imageId: id, subjectId: subjectId(`s${number}`), force: 'kent' },
    source: { sourceOffset: offset(sourceOffset), acceptedAtMs: number },
  };
}

function templates(count: number): (TemplateChange & { kind: 'template' })[] {
  return Array.from({ length: count }, (_, i) => template(i));
}

function erased(number: number, sourceOffset = number): { imageId: Disposition['imageId']; disposition: Disposition } {
  const id = imageId(`i${number}`);
  const since = '2026-01-01T00:00:00Z';
  const why = { authority: 'dpo', reason: 'test', sourceOffset: offset(sourceOffset) };
  return { imageId: id, disposition: { imageId: id, kind: 'erased', since, ...why } };
}

async function built(host: ShardHost): Promise<void> {
  while ((await host.stats()).approximatePending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('ShardHost', () => {
  it('gives the same bytes after a restart from its snapshot, and goes on from its offsets', async () => {
    const first = await start();
    expect(first.restored).toMatchObject({ templates: 0, notices: [] });
    const result = await first.apply(templates(600), [{ partition: 1, nextOffset: offset(1000) }]);
    expect(result).toMatchObject({ applied: 600, unusable: [] });
    await built(first);
    const probes = [3, 44, 601].map((seed) => faceLikeVector(seededRandom(seed), DIMENSION));
    const ask = async (host: ShardHost): Promise<string> => {
      const answers = [];
      for (const probe of probes) {
        for (const mode of ['exact', 'approximate', 'auto'] as const) {
          const { durationMs, ...answer } = await host.search({ probe, k: 10, mode });
          expect(durationMs).toBeGreaterThan(0);
          answers.push(answer);
        }
      }
      return JSON.stringify(answers);
    };
    const before = await ask(first);
    const digest = await first.digest();
    expect(await first.snapshot()).toMatchObject({ sequence: 1, templates: 600 });
    expect(await first.snapshot()).toEqual({ skipped: 'unchanged' });
    await first.close({ snapshot: false });

    const second = await start();
    expect(second.restored).toMatchObject({ templates: 600, notices: [] });
    expect([...second.restored.nextOffsets]).toEqual([
      [0, 599],
      [1, 1000],
    ]);
    expect(await ask(second)).toBe(before);
    expect(await second.digest()).toBe(digest);
    expect(await second.snapshot()).toEqual({ skipped: 'unchanged' });
    expect((await second.stats()).approximateSize).toBe(600);
  });

  it('answers with the best candidates and what was covered', async () => {
    const host = await start();
    await host.apply(templates(20), []);
    const probe = template(7).vector;
    const answer = await host.search({ probe, k: 3, mode: 'auto' });
    expect(answer.mode).toBe('exact');
    expect(answer.candidates).toHaveLength(3);
    expect(answer.candidates[0]).toMatchObject({ imageId: 'i7', subjectId: 's7', force: 'kent', sourceOffset: 7 });
    expect(answer.candidates[0]!.score).toBeCloseTo(1, 6);
    expect(answer.coverage).toEqual([
      { partition: 0, watermark: 19, enrolled: 10, unusable: 0 },
      { partition: 1, watermark: 20, enrolled: 10, unusable: 0 },
    ]);
    const coverageOnly = await host.search({ probe: undefined, k: 3, mode: 'auto' });
    expect(coverageOnly).toMatchObject({ candidates: [], coverage: answer.coverage });
  });

  it.each(MODES)('answers searches while a long batch is being applied, in %s mode', async (mode) => {
    const host = await start();
    await host.apply(templates(100), []);
    let applied = false;
    const batch = host.apply(templates(12_000), []).then(() => (applied = true));
    let during = 0;
    while (!applied) {
      const { candidates } = await host.search({ probe: template(50).vector, k: 1, mode });
      expect(candidates[0]!.imageId).toBe('i50');
      if (!applied) during++;
    }
    await batch;
    expect(during).toBeGreaterThan(10);
  });

  it('answers searches while a snapshot is written, and applies what comes meanwhile afterwards', async () => {
    const host = await start();
    await host.apply(templates(20_000), []);
    const order: string[] = [];
    const snapshot = host
      .snapshot()
      .then((report) => order.push('sequence' in report ? `${report.templates}` : 'none'));
    const batch = host.apply([template(30_000)], []).then(() => order.push('applied'));
    await host.search({ probe: template(5).vector, k: 1, mode: 'exact' }).then(() => order.push('searched'));
    await Promise.all([snapshot, batch]);
    expect(order).toEqual(['searched', '20000', 'applied']);
  });

  it('keeps the offsets of a snapshot back where what follows from a record is not done, and reads it again', async () => {
    const host = await start();
    await host.apply(templates(10), []);
    expect(await host.snapshot(new Map([[1, offset(3)]]))).toMatchObject({ sequence: 1, templates: 10 });
    const reopened = await start({ snapshotFolder: join(base, 'worker-0') });
    expect(reopened.restored.templates).toBe(10);
    expect(reopened.restored.nextOffsets).toEqual(
      new Map([
        [0, 9],
        [1, 3],
      ]),
    );
    // Nothing changed but that all is done by now, which a start from this snapshot should know.
    expect(await host.snapshot()).toMatchObject({ sequence: 2 });
    expect(await host.snapshot()).toEqual({ skipped: 'unchanged' });
  });

  it.each(MODES)(
    'hides what is erased at once under a long batch, and snapshots without it, in %s mode',
    async (mode) => {
      const host = await start();
      await host.apply(templates(50), []);
      await built(host);
      await host.snapshot();
      let applied = false;
      const batch = host.apply(templates(8_000).slice(50), []).then(() => (applied = true));
      await host.setDispositions([erased(7)]);
      expect(applied).toBe(false);
      const { candidates } = await host.search({ probe: template(7).vector, k: 5, mode });
      expect(candidates.map((candidate) => candidate.imageId)).not.toContain('i7');

      expect(await host.snapshot()).toMatchObject({ sequence: 2 });
      await batch;
      const folder = join(base, 'worker-0');
      expect(await readdir(folder)).toEqual(['2']);
      const trace = Buffer.from(template(7).vector.buffer, 0, 16);
      const kept = Buffer.from(template(8).vector.buffer, 0, 16);
      for (const name of await readdir(join(folder, '2'))) {
        const bytes = await readFile(join(folder, '2', name));
        expect(bytes.includes(trace), name).toBe(false);
        expect(bytes.includes('"i7"'), name).toBe(false);
        if (name === 'hnsw.bin' || name === 'vectors.f32') expect(bytes.includes(kept), name).toBe(true);
      }
    },
  );

  it('removes what was set aside when an erasure comes, as nobody knows what it holds', async () => {
    const partitions = Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition);
    const first = await start({ partitions });
    await first.apply(templates(10), []);
    await first.snapshot();
    await first.close({ snapshot: false });
    const second = await start({ partitions, modelId: modelId('fedcba9876543210') });
    expect(second.restored.notices).toEqual(['snapshot 1 set aside: SNAPSHOT_MODEL_DIFFERS']);
    expect(await readdir(join(base, 'worker-0'))).toEqual(['quarantine-1-SNAPSHOT_MODEL_DIFFERS']);
    await second.setDispositions([erased(3)]);
    await second.snapshot();
    expect(await readdir(join(base, 'worker-0'))).toEqual(['2']);
  });

  it('goes on after records that nobody can use, and says that their images are missing', async () => {
    const host = await start();
    const good = templates(10);
    const { vector } = good[0]!;
    const bad = [
      vector.subarray(1),
      new Float32Array(0),
      vector.map((value) => value * 2),
      vector.map((value, i) => (i === 3 ? Number.NaN : value)),
      vector.map((value, i) => (i === 3 ? Number.NEGATIVE_INFINITY : value)),
      new Float32Array(DIMENSION),
    ].map((rubbish, i) => ({ ...template(100 + i), vector: rubbish }));
    const strange = { ...template(200), imageId: 'a b' as Disposition['imageId'] };
    const result = await host.apply([...bad, strange, ...good], []);
    expect(result).toMatchObject({ applied: 10, staleOverwrites: [], resurrections: [] });
    expect(result.unusable.map(({ offset: at }) => at)).toEqual([100, 101, 102, 103, 104, 105, 200]);
    const probe = good[7]!.vector;
    const { candidates, coverage } = await host.search({ probe, k: 1, mode: 'exact' });
    expect(candidates[0]!.imageId).toBe('i7');
    expect(coverage).toMatchObject([{ unusable: 3 }, { unusable: 3 }]);
    await host.close({ snapshot: true });
    const again = await start();
    expect((await again.search({ probe, k: 1, mode: 'exact' })).coverage).toMatchObject([
      { unusable: 3 },
      { unusable: 3 },
    ]);
    await again.apply([{ ...template(100), offset: offset(300) }], []);
    expect((await again.stats()).unusable).toBe(5);
  });

  it('writes no snapshot at its end when reading the log again is quicker, unless files hold what is erased', async () => {
    const host = await start();
    await host.apply(templates(300), []);
    expect(await host.snapshot()).toMatchObject({ sequence: 1 });
    const last = { ...template(5000), offset: offset(5000) };
    await host.apply([last], []);
    const skipped = await host.snapshot(new Map(), 'worthwhile');
    expect(skipped).toMatchObject({ skipped: 'replay-is-quicker' });
    if (!('replayMs' in skipped)) throw new Error('the costs are said');
    expect(skipped.replayMs).toBeLessThan(skipped.writeMs);
    await host.setDispositions([erased(7)]);
    expect(await host.snapshot(new Map(), 'worthwhile')).toMatchObject({ sequence: 2, templates: 300 });
    // As many records as would take longer to read than a snapshot of these few takes.
    const many = Array.from({ length: 40_000 }, (_, i) => ({ ...last, offset: offset(5001 + i) }));
    await host.apply(many, []);
    expect(await host.snapshot(new Map(), 'worthwhile')).toMatchObject({ sequence: 3 });
  }, 30_000);

  it('reports what the log needs again, and hands over the template for it', async () => {
    const host = await start();
    await host.setDispositions([erased(1, 5)]);
    const result = await host.apply([template(1, 5), template(2, 9), template(2, 8)], []);
    expect(result).toMatchObject({ applied: 1, resurrections: ['i1'], staleOverwrites: ['i2'] });
    const held = await host.republishable([imageId('i1'), imageId('i2')]);
    const { vector, metadata } = template(2);
    expect(held).toEqual([
      { imageId: 'i2', vector, metadata, partition: 0, source: { sourceOffset: 9, acceptedAtMs: 2 } },
    ]);
  });

  it('hands refusals over as refusals', async () => {
    const host = await start();
    const bad = { probe: new Float32Array(DIMENSION), k: 1, mode: 'exact' as const };
    await expect(host.search(bad)).rejects.toMatchObject({
      code: 'TEMPLATE_NOT_USABLE',
      retryable: false,
      name: 'Refusal',
    });
  });

  it('computes no search whose turn comes after its deadline', async () => {
    const host = await start();
    await host.apply(templates(10), []);
    const search = { probe: template(1).vector, k: 1, mode: 'exact' as const };
    expect((await host.search({ ...search, deadlineMs: Date.now() + 60_000 })).candidates).toHaveLength(1);
    const late = host.search({ ...search, deadlineMs: Date.now() - 1 });
    await expect(late).rejects.toMatchObject({ code: 'QUERY_EXPIRED', retryable: true, name: 'Failure' });
  });

  it('starts empty when its state is discarded, with the dispositions still in force', async () => {
    const host = await start();
    await host.apply(templates(10), []);
    await host.setDispositions([erased(4)]);
    await host.snapshot();
    await host.discardState('SNAPSHOT_OUTSIDE_LOG');
    expect(await host.stats()).toMatchObject({ templates: 0, snapshotAtMs: undefined });
    const { coverage } = await host.search({ probe: undefined, k: 1, mode: 'auto' });
    expect(coverage).toMatchObject([{ watermark: 0 }, { watermark: 0 }]);
    expect((await host.apply([template(4)], [])).resurrections).toEqual(['i4']);
    await host.close({ snapshot: false });
    expect((await start()).restored.templates).toBe(0);
  });

  it('snapshots when it is closed, and refuses calls afterwards', async () => {
    const host = await start();
    await host.apply(templates(10), []);
    const closed = host.close({ snapshot: true });
    await expect(host.stats()).rejects.toMatchObject({ code: 'SHARD_CLOSED' });
    await closed;
    await expect(host.stats()).rejects.toMatchObject({ code: 'SHARD_WORKER_DIED' });
    expect((await start()).restored.templates).toBe(10);
  });

  it('fails every open call when the worker dies, and says so once', async () => {
    const host = await start();
    const deaths: unknown[] = [];
    host.onExit((error) => deaths.push(error));
    const notOurs = { ...template(1), partition: 17 };
    await expect(host.apply([notOurs], [])).rejects.toMatchObject({
      code: 'SHARD_WORKER_DIED',
      retryable: true,
      cause: { message: expect.stringContaining('partition 17') },
    });
    await expect(host.stats()).rejects.toMatchObject({ code: 'SHARD_WORKER_DIED' });
    expect(deaths).toHaveLength(1);
    await host.close({ snapshot: true });
  });

  it('is not started without a snapshot folder that it can read', async () => {
    const options = { snapshotFolder: fileURLToPath(import.meta.url) };
    await expect(start(options)).rejects.toMatchObject({ code: 'SHARD_NOT_STARTED' });
  });
});
