import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LimitedLogFile } from './limited-log-file.js';

it('goes on when the disk takes nothing, and writes again when it does', () => {
  const folder = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    const path = join(folder, 'away', 'broker.log');
    const file = new LimitedLogFile(path);
    file.append('nobody reads this');
    mkdirSync(join(folder, 'away'));
    file.append('well again');
    expect(readFileSync(path, 'utf8')).toBe('well again\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('keeps the latest lines in two files of limited size, also across restarts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    const path = join(folder, 'broker.log');
    for (let i = 0; i < 25; i++) new LimitedLogFile(path, 50).append(`line ${String(i).padStart(4, '0')}`);
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('line 0015\nline 0016\nline 0017\nline 0018\nline 0019\n');
    expect(readFileSync(path, 'utf8')).toBe('line 0020\nline 0021\nline 0022\nline 0023\nline 0024\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
