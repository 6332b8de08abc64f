import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { signCheckpoint } from '#audit/checkpoint.js';
import { CheckpointFolder } from '#audit/checkpoint-folder.js';
import { leafHash } from '#audit/merkle-tree.js';
import { makeSignerKey, NoteSigner } from '#audit/signed-note.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { Settings } from '#platform/settings.js';
import { readSurvivingSeals } from './restore-audit.js';

let home: string;
let settings: Settings;
let said: string;
const keys = makeSignerKey('example.org/audit');

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'seals-'));
  settings = {
    AUDIT_CHECKPOINT_DIR: join(home, 'checkpoints'),
    AUDIT_SEAL_VERIFIER_KEYS_FILE: join(home, 'audit-seal.vkey'),
  } as Settings;
  said = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(home, { recursive: true });
});

it('takes an append-only copy that is missing, or has no checkpoint, as none, and says so', async () => {
  expect(await readSurvivingSeals(settings)).toBeUndefined();
  expect(said).toContain(`There is no ${settings.AUDIT_CHECKPOINT_DIR}`);
  await mkdir(settings.AUDIT_CHECKPOINT_DIR);
  expect(await readSurvivingSeals(settings)).toBeUndefined();
  expect(said).toContain(`There is no ${settings.AUDIT_SEAL_VERIFIER_KEYS_FILE}`);
  await writeFile(settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, keys.verifierKey);
  expect(await readSurvivingSeals(settings)).toBeUndefined();
  expect(said).toContain(`There is no checkpoint in ${settings.AUDIT_CHECKPOINT_DIR}`);
});

it('reads what was sealed, and refuses what none of the keys has signed', async () => {
  const copy = await CheckpointFolder.open(settings.AUDIT_CHECKPOINT_DIR, []);
  const leaf = Buffer.from('leaf');
  const checkpoint = signCheckpoint(NoteSigner.parse(keys.signerKey)!, 1, leafHash(leaf));
  await copy.append({ from: 0, leaves: [{ leaf, eventId: 'e', loggedAt: '2026-01-01T00:00:00.000Z' }] }, checkpoint);
  await writeFile(settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, keys.verifierKey);
  expect((await readSurvivingSeals(settings))?.checkpoints).toMatchObject([{ size: 1 }]);
  await writeFile(settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, makeSignerKey('example.org/other').verifierKey);
  expect(await codeOfAsync(() => readSurvivingSeals(settings))).toBe('HELD_CHECKPOINT_INVALID');
});
