import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { BACKUP_MANIFEST, BackupKeys, openBackup, writeManifest, type BackupManifest } from './backup-manifest.js';

let folder: string;
let keyFile: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manifest-'));
  keyFile = join(folder, 'backup.key');
  await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n`);
});
afterEach(() => rm(folder, { recursive: true }));

async function written(): Promise<BackupManifest> {
  const { key, ...sealedKey } = (await BackupKeys.read(keyFile)).newBackupKey();
  const manifest: BackupManifest = {
    format: 1,
    backupId: randomUUID(),
    kind: 'everything',
    clusterId: 'a cluster',
    startedAt: '2026-01-01T00:00:00.000Z',
    completedAt: null,
    expiresAt: '2026-01-31T00:00:00.000Z',
    ...sealedKey,
    handled: [],
    streams: [],
    segments: [{ file: '000001.sealed', stream: 'audit.log.v1', records: 3, bytes: 10, sha256: 'ab' }],
  };
  await writeManifest({ folder, manifest, key });
  return manifest;
}

const open = async (): ReturnType<typeof openBackup> => openBackup(folder, await BackupKeys.read(keyFile));

describe('what a backup says of itself', () => {
  it('is read with its key, and with that key among those of later', async () => {
    const manifest = await written();
    expect((await open())?.manifest).toEqual(manifest);
    await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n${await readFile(keyFile, 'utf8')}`);
    expect((await open())?.manifest).toEqual(manifest);
  });

  it('is refused with another key, and where any of it was changed', async () => {
    await written();
    const path = join(folder, BACKUP_MANIFEST);
    const good = await readFile(path, 'utf8');
    for (const [from, to] of [
      ['2026-01-31', '2027-01-31'],
      ['"records": 3', '"records": 2'],
      ['a cluster', 'b cluster'],
      ['"format": 1', '"format": 2'],
      ['{', ''],
    ] as const) {
      await writeFile(path, good.replace(from, to));
      expect(await codeOfAsync(open), from).toBe('BACKUP_DAMAGED');
    }
    await writeFile(path, good);
    await writeFile(keyFile, randomBytes(32).toString('base64'));
    expect(await codeOfAsync(open)).toBe('BACKUP_KEY_OTHER');
    await writeFile(keyFile, randomBytes(31).toString('base64'));
    expect(await codeOfAsync(open)).toBe('BACKUP_KEY_UNREADABLE');
  });

  it('is nothing where there is no backup', async () => {
    expect(await open()).toBeUndefined();
  });
});
