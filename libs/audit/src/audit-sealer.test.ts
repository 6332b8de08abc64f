import { appendFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sealLine, type LoggedLeaf } from '#contracts/audit-seal-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { AuditSealer, type SealableLog } from './audit-sealer.js';
import { CheckpointFolder, readCheckpointFolder } from './checkpoint-folder.js';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { leafHash, MerkleFrontier } from './merkle-tree.js';
import { makeSignerKey, NoteSigner } from './signed-note.js';

const signer = NoteSigner.parse(makeSignerKey('example.org/audit').signerKey)!;
const keys = [signer.verifier];

/** The topics: what is published is read back, and what is in the log can be changed by whoever runs it. */
class Topics implements SealableLog {
  log: LoggedLeaf[] = [];
  published: SignedCheckpoint[] = [];
  away = false;
  /** What is in the log and was not read yet. */
  unread: LoggedLeaf[] = [];

  add(count: number): void {
    for (let i = 0; i < count; i++) this.log.push(logged(this.log.length));
  }

  get size(): number {
    return this.log.length;
  }

  rootAt(size: number): Buffer {
    const frontier = new MerkleFrontier();
    for (const { leaf } of this.log.slice(0, size)) frontier.append(leafHash(leaf));
    return frontier.root();
  }

  leaves(from: number, to: number): LoggedLeaf[] {
    return this.log.slice(from, to);
  }

  lastCheckpoint(): SignedCheckpoint | undefined {
    return this.published.at(-1);
  }

  checkpointsAfter(size: number): SignedCheckpoint[] {
    return this.published.filter((checkpoint) => checkpoint.size > size);
  }

  readToEnd(): Promise<void> {
    this.log.push(...this.unread.splice(0));
    return Promise.resolve();
  }

  publishAll(records: OutgoingRecord[]): Promise<{ partition: number; offset: number }[]> {
    if (this.away) return Promise.reject(new Error('no broker'));
    for (const { headers, value } of records) {
      const line = sealLine(headers!, Buffer.from(value!));
      if (line?.kind === 'checkpoint') this.published.push(openCheckpoint(line.note, keys)!);
    }
    return Promise.resolve(records.map((_, offset) => ({ partition: 0, offset })));
  }
}

function logged(i: number): LoggedLeaf {
  return { leaf: Buffer.alloc(32, i), eventId: `event-${i}`, loggedAt: '2026-01-01T00:00:00.000Z' };
}

let home: string;
let topics: Topics;
let sealer: AuditSealer;
const openFolder = (): Promise<CheckpointFolder> => CheckpointFolder.open(join(home, 'copy'), keys);
const openSealer = async (log = topics): Promise<AuditSealer> =>
  new AuditSealer(log, signer, await openFolder(), topics, '/test');
/** As its owner does every few seconds. */
const round = async (by = sealer): Promise<void> => {
  await by.seal();
  await by.copy();
};
const copied = async (): Promise<string[]> => readCheckpointFolder(join(home, 'copy'));

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'audit-sealer-'));
  topics = new Topics();
  sealer = await openSealer();
});
afterEach(() => rm(home, { recursive: true }));

describe('the sealer', () => {
  it('signs what is new since the last checkpoint, and nothing when nothing is', async () => {
    expect(await sealer.seal()).toBe(0);
    topics.add(5);
    expect(await sealer.seal()).toBe(5);
    expect(await sealer.seal()).toBe(0);
    topics.add(2);
    expect(await sealer.seal()).toBe(2);
    expect(topics.published.map(({ size }) => size)).toEqual([5, 7]);
    for (const { size, root } of topics.published) expect(root).toEqual(topics.rootAt(size));
  });

  it('seals a long log in several checkpoints, each of which can be sent', async () => {
    topics.add(9_000);
    expect(await sealer.seal()).toBe(9_000);
    expect(topics.published.map(({ size }) => size)).toEqual([4_000, 8_000, 9_000]);
  });

  it('goes on where another one has ended', async () => {
    topics.add(5);
    await sealer.seal();
    topics.add(1);
    expect(await (await openSealer()).seal()).toBe(1);
  });

  it('leaves nothing unsealed after Kafka was away', async () => {
    topics.add(3);
    topics.away = true;
    expect(await codeOfAsync(() => sealer.seal())).toBe('AUDIT_SEAL_FAILED');
    topics.away = false;
    expect(await sealer.seal()).toBe(3);
  });

  it('reads on before it judges, when another one has sealed what it has not read', async () => {
    topics.add(5);
    await sealer.seal();
    topics.unread = topics.log.splice(3);
    expect(await (await openSealer()).seal()).toBe(0);
    expect(topics.size).toBe(5);
  });

  describe('signs nothing any more, with AUDIT_HISTORY_CHANGED, when', () => {
    const refuses = async (by: AuditSealer): Promise<void> => {
      const before = topics.published.length;
      topics.add(4);
      expect(await codeOfAsync(() => by.seal())).toBe('AUDIT_HISTORY_CHANGED');
      expect(topics.published).toHaveLength(before);
    };

    beforeEach(async () => {
      topics.add(10);
      await round();
    });

    it('a sealed leaf was changed', async () => {
      topics.log[4] = logged(99);
      await refuses(sealer);
    });

    it('a sealed leaf was removed', async () => {
      topics.log.splice(4, 1);
      await refuses(sealer);
    });

    it('the log was cut off', async () => {
      topics.log.splice(2);
      await refuses(sealer);
    });

    it('the checkpoints were removed with what they sealed: the append-only copy still has them', async () => {
      topics.log[4] = logged(99);
      topics.published = [];
      await refuses(await openSealer());
    });
  });
});

describe('the append-only copy', () => {
  const today = async (): Promise<string> => join(home, 'copy', (await readdir(join(home, 'copy'))).at(0)!);

  it('has every seal with its leaves, as lines of a file a day', async () => {
    topics.add(5);
    await round();
    topics.add(2);
    await round();
    const lines = (await copied()).map(
      (line) => JSON.parse(line) as { kind: string; from?: number; leaves?: unknown[] },
    );
    expect(lines.map(({ kind, from, leaves }) => [kind, from, leaves?.length])).toEqual([
      ['sealed', 0, 5],
      ['checkpoint', undefined, undefined],
      ['sealed', 5, 2],
      ['checkpoint', undefined, undefined],
    ]);
    expect(await readdir(join(home, 'copy'))).toEqual([`audit-${new Date().toISOString().slice(0, 10)}.jsonl`]);
  });

  it('is only ever appended to', async () => {
    topics.add(5);
    await round();
    const [file] = await readdir(join(home, 'copy'));
    const before = await readFile(join(home, 'copy', file!), 'utf8');
    topics.add(1);
    await round(await openSealer());
    expect((await readFile(join(home, 'copy', file!), 'utf8')).startsWith(before)).toBe(true);
  });

  it('is brought up to date by whoever seals next, without a gap', async () => {
    topics.add(5);
    await round();
    topics.add(4);
    await round();
    // Another folder: of a replica that has not sealed before.
    await rm(join(home, 'copy'), { recursive: true });
    await round(await openSealer());
    const sealed = (await copied()).filter((line) => line.includes('"sealed"'));
    expect(sealed.map((line) => (JSON.parse(line) as { from: number }).from)).toEqual([0, 5]);
    expect((await openFolder()).newest?.size).toBe(9);
  });

  it('is read past a line that a crash has left unfinished', async () => {
    topics.add(5);
    await round();
    const [file] = await readdir(join(home, 'copy'));
    await appendFile(join(home, 'copy', file!), '{"kind":"sealed","from":5,"le');
    topics.add(1);
    await round(await openSealer());
    expect((await openFolder()).newest?.size).toBe(6);
  });

  it('does not hold up the seals while it cannot be written, and has what it lacks when it can be again', async () => {
    topics.add(5);
    await rm(join(home, 'copy'), { recursive: true });
    await writeFile(join(home, 'copy'), 'a file where the folder was');
    for (const sealed of [5, 2]) {
      expect(await sealer.seal()).toBe(sealed);
      expect(await codeOfAsync(() => sealer.copy())).toBe('AUDIT_COPY_FAILED');
      topics.add(2);
    }
    expect(topics.published.map(({ size }) => size)).toEqual([5, 7]);
    expect(sealer.copiedTo).toBe(0);
    await rm(join(home, 'copy'));
    await openFolder();
    // Kafka's turn to be away: what was sealed is copied all the same.
    topics.away = true;
    expect(await codeOfAsync(() => sealer.seal())).toBe('AUDIT_SEAL_FAILED');
    await sealer.copy();
    expect(sealer.copiedTo).toBe(7);
    expect((await openFolder()).newest?.size).toBe(7);
  });

  it('has its last seal in whichever file, also after a clock that was once ahead', async () => {
    topics.add(5);
    await round();
    await cp(await today(), join(home, 'copy', 'audit-2099-12-31.jsonl'));
    topics.add(2);
    await round();
    expect((await openFolder()).newest?.size).toBe(7);
  });

  it('has its last seal before whatever a crash has left, however long', async () => {
    topics.add(4_000);
    await round();
    const unfinished = (await copied())[0]!.slice(0, -5);
    await appendFile(await today(), `\n${unfinished}`);
    expect((await openFolder()).newest?.size).toBe(4_000);
    await appendFile(await today(), '\n{"kind":"checkpoint","note":"nobody has signed this"}\n');
    expect((await openFolder()).newest?.size).toBe(4_000);
  });
});
