import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { modelIdOf, readModelPackManifest } from '#face/model-pack.js';
import { thresholdFor } from '#domain/threshold.js';
import { DEFAULT_PACK_MANIFEST } from '#testkit/model-pack-for-tests.js';
import { readThresholds } from './thresholds.js';

const good = {
  version: 1,
  evaluation: 'measured',
  profiles: [
    {
      modelId: '00112233aabbccdd',
      kind: 'operator',
      bands: [
        { enrolledMax: 10, score: 0.3 },
        { enrolledMax: 20, score: 0.4 },
      ],
    },
  ],
};
const profile = good.profiles[0]!;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thresholds-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(content: unknown): Promise<unknown> {
  const file = join(folder, 'thresholds.json');
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return readThresholds(file);
}

describe('the threshold profiles', () => {
  it('are read', async () => {
    expect(await read(good)).toEqual(good);
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['no profiles', { version: 1, evaluation: '' }],
    ['a profile without a band', { ...good, profiles: [{ ...profile, bands: [] }] }],
    ['bands that do not ascend', { ...good, profiles: [{ ...profile, bands: [...profile.bands].reverse() }] }],
    ['a band twice', { ...good, profiles: [{ ...profile, bands: [profile.bands[0], profile.bands[0]] }] }],
    ['a score that is no cosine', { ...good, profiles: [{ ...profile, bands: [{ enrolledMax: 1, score: 30 }] }] }],
    ['an unknown kind', { ...good, profiles: [{ ...profile, kind: 'live' }] }],
    ['a model that is none', { ...good, profiles: [{ ...profile, modelId: 'default' }] }],
    ['version 0', { ...good, version: 0 }],
  ])('are refused with THRESHOLDS_UNREADABLE when there is %s', async (_, content) => {
    expect(await codeOfAsync(() => read(content))).toBe('THRESHOLDS_UNREADABLE');
  });

  it('are refused when there is no such file', async () => {
    expect(await codeOfAsync(() => readThresholds(join(folder, 'none.json')))).toBe('THRESHOLDS_UNREADABLE');
  });

  it('that are shipped hold for the default model, for both kinds of search', async () => {
    const set = await readThresholds(join(import.meta.dirname, '../../../deploy/thresholds.json'));
    const model = modelIdOf(await readModelPackManifest(DEFAULT_PACK_MANIFEST));
    for (const kind of ['operator', 'retrospective'] as const) {
      expect(thresholdFor(set, model, kind, 1), kind).toMatchObject({ version: set.version, evaluated: true });
    }
  });
});
