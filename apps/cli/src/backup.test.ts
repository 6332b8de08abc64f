import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { BACKUP_MANIFEST } from './backup-manifest.js';
import { listBackups } from './backup.js';

let parent: string;
let said: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'backups-'));
  said = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(parent, { recursive: true });
});

async function backup(name: string, text: string): Promise<string> {
  const folder = join(parent, name);
  await mkdir(folder);
  await writeFile(join(folder, BACKUP_MANIFEST), text);
  return folder;
}

function manifest(expiresAt: string): string {
  return JSON.stringify({
    format: 1,
    backupId: randomUUID(),
    kind: 'everything',
    clusterId: 'c',
    startedAt: '2026-01-01T00:00:00.000Z',
    completedAt: '2026-01-01T00:01:00.000Z',
    expiresAt,
    keyId: 'k',
    wrappedKey: 'w',
    handled: [],
    streams: [],
    segments: [],
    mac: 'ab',
  });
}

it('deletes backups whose time is over beside one that cannot be read, and names that', async () => {
  const damaged = await backup('a', '{');
  const over = await backup('b', manifest('2026-01-02T00:00:00.000Z'));
  const kept = await backup('c', manifest('2999-01-01T00:00:00.000Z'));
  await listBackups(parent, { prune: true });
  expect([damaged, over, kept].map((folder) => existsSync(folder))).toEqual([true, false, true]);
  expect(said).toContain(`${damaged}  DAMAGED`);
  expect(said.split('\n').filter((line) => line.endsWith('whole') || line.endsWith('deleted'))).toHaveLength(2);
  expect(process.exitCode).toBe(1);
});

it('ends well when each can be read', async () => {
  await backup('a', manifest('2999-01-01T00:00:00.000Z'));
  await mkdir(join(parent, 'no backup'));
  await listBackups(parent, { prune: false });
  expect(process.exitCode).toBeUndefined();
});
