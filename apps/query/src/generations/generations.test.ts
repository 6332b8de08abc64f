import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CodedError } from '#domain/errors.js';
import { NOTHING_DECIDED, type GovernanceState } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import { MANIFEST_FILE, modelIdOf, readModelPackManifest, type ModelPackManifest } from '#face/model-pack.js';
import { Health } from '#platform/health.js';
import { DEFAULT_PACK_MANIFEST } from '#testkit/model-pack-for-tests.js';
import { Generations, type Generation } from './generations.js';

const manifest = await readModelPackManifest(DEFAULT_PACK_MANIFEST);
const base = modelIdOf(manifest);
/** Of a pack whose embedder is fed otherwise. */
const variant = (mean: number): ModelPackManifest => ({ ...manifest, embedder: { ...manifest.embedder, mean } });

describe('the galleries that a replica can search', () => {
  let home: string;
  let nextFolder: string;
  let state: GovernanceState;
  let health: Health;
  let opened: string[];
  let closed: string[];
  let said: string[];
  let generations: Generations;

  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'generations-')));
    nextFolder = join(home, 'next-model-pack');
    state = NOTHING_DECIDED;
    health = new Health(['model']);
    [opened, closed, said] = [[], [], []];
    const note = (event: string): void => void said.push(event);
    generations = new Generations(
      generation(base),
      {
        get state() {
          return state;
        },
      },
      nextFolder,
      async (folder) => {
        opened.push(folder);
        return generation(modelIdOf(await readModelPackManifest(join(folder, MANIFEST_FILE))));
      },
      health,
      { info: note, warn: note, error: note },
    );
  });

  afterEach(() => rm(home, { recursive: true }));

  /** Nothing of it is searched here: which one it is, and whether it was let go. */
  function generation(modelId: ModelId): Generation {
    const close = (what: string) => () => {
      closed.push(`${what} ${modelId}`);
      return Promise.resolve();
    };
    return { modelId, faces: { close: close('faces') }, gallery: { close: close('gallery') } } as unknown as Generation;
  }

  async function putPack(name: string, mean: number): Promise<ModelId> {
    const folder = join(home, name);
    await mkdir(folder);
    await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(variant(mean)));
    await rm(nextFolder, { force: true });
    await symlink(folder, nextFolder);
    return modelIdOf(variant(mean));
  }

  function switchTo(modelId: ModelId): void {
    const switched = { by: 'a', at: '2026-01-01T00:00:00Z', reason: 'r' };
    state = { ...NOTHING_DECIDED, gallery: { modelId, from: base, lacking: 0, switched } };
  }

  function codeOfInForce(): string | undefined {
    try {
      return generations.inForce.modelId;
    } catch (error) {
      return error instanceof CodedError ? error.code : String(error);
    }
  }

  it('is the deployment’s while nobody has decided otherwise, with another one beside or without', async () => {
    await generations.look();
    expect(generations.inForce.modelId).toBe(base);
    const next = await putPack('a', 1);
    await generations.look();
    expect(generations.all().map(({ modelId }) => modelId)).toEqual([base, next]);
    expect(generations.inForce.modelId).toBe(base);
  });

  it('is the other one from the decision on, and the deployment’s again after the next', async () => {
    const next = await putPack('a', 1);
    await generations.look();
    switchTo(next);
    expect(generations.inForce.modelId).toBe(next);
    switchTo(base);
    expect(generations.inForce.modelId).toBe(base);
  });

  it('opens the pack by its real path: a link that is put elsewhere must not change a pack in use', async () => {
    await putPack('a', 1);
    await generations.look();
    expect(opened).toEqual([join(home, 'a')]);
  });

  it('lets go of a pack that is taken away, and takes the one that is put in its place', async () => {
    const first = await putPack('a', 1);
    await generations.look();
    const second = await putPack('b', 2);
    await generations.look();
    expect(closed).toEqual([`faces ${first}`, `gallery ${first}`]);
    expect(generations.built?.modelId).toBe(second);
    await rm(nextFolder);
    await generations.look();
    expect(generations.all().map(({ modelId }) => modelId)).toEqual([base]);
  });

  it('keeps what is in force, though its pack is taken away, and says so once', async () => {
    const next = await putPack('a', 1);
    await generations.look();
    switchTo(next);
    await rm(nextFolder);
    await generations.look();
    await generations.look();
    expect(generations.inForce.modelId).toBe(next);
    expect(closed).toEqual([]);
    expect(said.filter((event) => event === 'next-model-not-loaded')).toHaveLength(1);
  });

  it('is ready with the model in force alone, and never searches another in its place', async () => {
    await generations.look();
    expect(health.ready.ok).toBe(true);
    switchTo(modelIdOf(variant(1)));
    await generations.look();
    expect(health.ready.ok).toBe(false);
    expect(codeOfInForce()).toBe('MODEL_NOT_LOADED');
    await putPack('a', 1);
    await generations.look();
    expect(health.ready.ok).toBe(true);
    expect(codeOfInForce()).toBe(modelIdOf(variant(1)));
  });

  it('goes on with what it has while a pack cannot be read', async () => {
    const folder = join(home, 'broken');
    await mkdir(folder);
    await writeFile(join(folder, MANIFEST_FILE), '{');
    await symlink(folder, nextFolder);
    await generations.look();
    expect(said).toEqual(['next-model-not-loaded']);
    expect(generations.inForce.modelId).toBe(base);
  });

  it('takes the deployment’s own pack for no second one', async () => {
    await mkdir(nextFolder);
    await writeFile(join(nextFolder, MANIFEST_FILE), JSON.stringify(manifest));
    await generations.look();
    expect(opened).toEqual([]);
  });
});
