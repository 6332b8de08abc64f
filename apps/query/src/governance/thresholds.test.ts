import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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
  evaluation: { reportSha256: '0a'.repeat(32), description: 'Measured on nobody.' },
  profiles: [
    {
      modelId: '00112233aabbccdd',
      kind: 'operator',
      bands: [
        { enrolledMax: 10, score: 0.3, fpir: 0.01, fnir: 0.05, groups: [] },
        { enrolledMax: 20, score: 0.4, fpir: null, fnir: null, groups: [] },
      ],
    },
  ],
};
const profile = good.profiles[0]!;

const SHIPPED = join(import.meta.dirname, '../../../../deploy/thresholds.json');
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

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
    expect(await read(good)).toEqual({ thresholds: good, fileSha256: sha256(JSON.stringify(good)) });
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['no profiles', { version: 1, evaluation: good.evaluation }],
    ['a profile without a band', { ...good, profiles: [{ ...profile, bands: [] }] }],
    ['bands that do not ascend', { ...good, profiles: [{ ...profile, bands: [...profile.bands].reverse() }] }],
    ['a band twice', { ...good, profiles: [{ ...profile, bands: [profile.bands[0], profile.bands[0]] }] }],
    ['a score that is no cosine', { ...good, profiles: [{ ...profile, bands: [{ ...profile.bands[0], score: 30 }] }] }],
    ['an unknown kind', { ...good, profiles: [{ ...profile, kind: 'live' }] }],
    ['a rate that is none', { ...good, profiles: [{ ...profile, bands: [{ ...profile.bands[0], fpir: 2 }] }] }],
    ['a name that nobody knows', { ...good, profiles: [{ ...profile, certainty: 1 }] }],
    ['a model that is none', { ...good, profiles: [{ ...profile, modelId: 'default' }] }],
    ['version 0', { ...good, version: 0 }],
  ])('are refused with THRESHOLDS_UNREADABLE when there is %s', async (_, content) => {
    expect(await codeOfAsync(() => read(content))).toBe('THRESHOLDS_UNREADABLE');
  });

  it('are refused when there is no such file', async () => {
    expect(await codeOfAsync(() => readThresholds(join(folder, 'none.json')))).toBe('THRESHOLDS_UNREADABLE');
  });

  it('that are shipped hold for the default model, for both kinds of search', async () => {
    const { thresholds: set } = await readThresholds(SHIPPED);
    const model = modelIdOf(await readModelPackManifest(DEFAULT_PACK_MANIFEST));
    for (const kind of ['operator', 'retrospective'] as const) {
      expect(thresholdFor(set, model, kind, 1), kind).toMatchObject({ version: set.version, evaluated: true });
    }
  });

  it('that are shipped name their evaluation report by its bytes, and what was measured there', async () => {
    const { thresholds } = await readThresholds(SHIPPED);
    const report = /docs\/evaluation\/\S+\.md/.exec(thresholds.evaluation.description)![0];
    const bytes = await readFile(join(import.meta.dirname, '../../../..', report));
    expect(thresholds.evaluation.reportSha256).toBe(sha256(bytes));
    for (const { bands } of thresholds.profiles) {
      for (const { fpir, fnir } of bands) expect(fpir !== null && fnir !== null).toBe(true);
    }
  });
});
