import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ByteTraces } from './byte-traces.js';

describe('traces of bytes', () => {
  const wanted = randomBytes(4096);
  const head = randomBytes(600);
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'traces-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function formsIn(content: Buffer, others: readonly Buffer[] = []): Promise<string[]> {
    await writeFile(join(folder, 'file'), content);
    const traces = await new ByteTraces({ wanted: Buffer.concat([head, wanted]) }, others).inFiles(folder);
    return traces.map(({ form }) => form);
  }

  it('are found for any 64 of them, wherever they lie', async () => {
    for (const [from, at] of [
      [0, 0],
      [1, 31],
      [777, 4_000_000],
      [4032, 64],
      [13, 33],
    ] as const) {
      const content = Buffer.alloc(5_000_000);
      wanted.copy(content, at, from, from + 64);
      expect(await formsIn(content), `${from} at ${at}`).toEqual(['wanted']);
    }
  });

  it('are found in base64 at each alignment', async () => {
    for (const before of [0, 1, 2, 3]) {
      const text = Buffer.concat([Buffer.alloc(before, 7), wanted]).toString('base64');
      expect(await formsIn(Buffer.from(`{"image":"${text}"}`))).toEqual(['wanted base64']);
    }
  });

  it('are not what other images have as well, nor a pattern', async () => {
    expect(await formsIn(head)).toEqual(['wanted']);
    expect(await formsIn(head, [Buffer.concat([head, randomBytes(100)])])).toEqual([]);
    expect(await formsIn(randomBytes(1_000_000))).toEqual([]);
    const zeros = new ByteTraces({ zeros: Buffer.alloc(4096) }, []);
    expect(zeros.pieces).toBe(0);
  });

  it('are found in the memory of a process', async () => {
    const kept = Buffer.from(wanted);
    const traces = await new ByteTraces({ wanted }, []).inMemoryOf(process.pid, 'this');
    expect(traces.some(({ form }) => form === 'wanted')).toBe(true);
    expect(kept.equals(wanted)).toBe(true);
  });
});
