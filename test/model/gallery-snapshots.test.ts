import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { damageEverySection, failEveryStep, fillTheDisk } from '../crash/snapshot-faults.js';

const SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1_000_000);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapshot-faults-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe(`snapshots on a bad disk, seed ${SEED}`, () => {
  it('lose and bring back nobody, whichever step fails, is the last one, or loses the power', async () => {
    const { faults, ...found } = await failEveryStep(folder, SEED);
    expect(found).toEqual({ lost: 0, resurrected: 0, mismatches: 0 });
    expect(faults).toBeGreaterThan(150);
  }, 300_000);

  it('are refused by name when any section of any file is damaged, and the log takes over', async () => {
    const { faults, ...found } = await damageEverySection(folder, SEED);
    expect(found).toEqual({ lost: 0, resurrected: 0, mismatches: 0 });
    expect(faults).toBeGreaterThan(150);
  }, 300_000);

  it('wait for room on a full disk, and harm nothing until then', async () => {
    const { faults, ...found } = await fillTheDisk(folder, SEED);
    expect(found).toEqual({ lost: 0, resurrected: 0, mismatches: 0 });
    expect(faults).toBeGreaterThan(20);
  }, 300_000);
});
