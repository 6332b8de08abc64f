import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { EnrolmentJournal } from './enrolment-journal.js';

const homes: string[] = [];
let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'journal-'));
  homes.push(home);
});
afterAll(() => Promise.all(homes.map((each) => rm(each, { recursive: true }))));

const outcome = (imageId: string, what: Partial<ImageOutcome> = { outcome: 'enrolled' }): ImageOutcome =>
  ({ imageId, ...what }) as ImageOutcome;

async function write(outcomes: readonly ImageOutcome[], source = '/photos', restart = false): Promise<void> {
  const journal = await EnrolmentJournal.open(home, source, restart);
  for (const each of outcomes) journal.record(each);
  await journal.close();
}

async function answered(source = '/photos'): Promise<unknown[]> {
  const journal = await EnrolmentJournal.open(home, source, false);
  await journal.close();
  return [...journal.answered.values()];
}

async function fileOf(): Promise<string> {
  const [name] = await readdir(join(home, 'enrolments'));
  return join(home, 'enrolments', name!);
}

describe('the journal of an enrolment', () => {
  it('knows what earlier runs had answered, and with which refusal', async () => {
    await write([outcome('a')]);
    await write([outcome('b', { outcome: 'refused', code: 'NO_FACE' })]);
    expect(await answered()).toEqual([
      { imageId: 'a', outcome: 'enrolled' },
      { imageId: 'b', outcome: 'refused', code: 'NO_FACE' },
    ]);
  });

  it('offers again what failed here, and not what succeeded afterwards', async () => {
    await write([
      outcome('a', { outcome: 'failed', code: 'INTERNAL' }),
      outcome('b', { outcome: 'failed', code: 'X' }),
    ]);
    await write([outcome('b')]);
    expect(await answered()).toEqual([{ imageId: 'b', outcome: 'enrolled' }]);
  });

  it('keeps the journals of two sources apart, however their paths are written', async () => {
    await write([outcome('a')], '/photos/');
    expect(await answered('/photos')).toHaveLength(1);
    expect(await answered('/other')).toEqual([]);
  });

  it('forgets what was when it is started anew', async () => {
    await write([outcome('a')]);
    await write([outcome('b')], '/photos', true);
    expect(await answered()).toEqual([{ imageId: 'b', outcome: 'enrolled' }]);
  });

  it('loses the line that a crash tore, and neither the ones before it nor the one after', async () => {
    await write([outcome('a')]);
    const whole = await readFile(await fileOf(), 'utf8');
    await appendFile(await fileOf(), whole.slice(0, -7));
    await write([outcome('b')]);
    expect(await answered()).toEqual([
      { imageId: 'a', outcome: 'enrolled' },
      { imageId: 'b', outcome: 'enrolled' },
    ]);
  });
});
