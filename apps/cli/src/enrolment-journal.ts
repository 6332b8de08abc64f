/** What an enrolment has had answered so far, one JSON line an image, so that a run that was cut short goes on. */
import { createHash } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import type { ImageOutcome } from '#domain/image-outcome.js';

export interface JournalLine {
  readonly imageId: string;
  readonly outcome: ImageOutcome['outcome'];
  readonly code?: string;
}

export class EnrolmentJournal {
  private constructor(
    private readonly stream: WriteStream,
    /** What earlier runs had answered. */
    readonly answered: ReadonlyMap<string, JournalLine>,
  ) {}

  /** @param source the folder or CSV; each has a journal of its own */
  static async open(dataFolder: string, source: string, restart: boolean): Promise<EnrolmentJournal> {
    const folder = join(dataFolder, 'enrolments');
    await mkdir(folder, { recursive: true });
    const name = createHash('sha256').update(resolve(source)).digest('hex').slice(0, 16);
    const file = join(folder, `${name}.jsonl`);
    if (restart) await rm(file, { force: true });
    const answered = new Map<string, JournalLine>();
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      try {
        const entry = JSON.parse(line) as JournalLine;
        // A failure was ours: worth another try.
        if (entry.outcome !== 'failed') answered.set(entry.imageId, entry);
      } catch {
        // The last line of a run that was cut short.
      }
    }
    const stream = createWriteStream(file, { flags: 'a' });
    // What is appended to a torn line would be lost with it.
    if (text !== '' && !text.endsWith('\n')) stream.write('\n');
    return new EnrolmentJournal(stream, answered);
  }

  record(outcome: ImageOutcome): void {
    const line: JournalLine = {
      imageId: outcome.imageId,
      outcome: outcome.outcome,
      ...('code' in outcome && { code: outcome.code }),
    };
    this.stream.write(`${JSON.stringify(line)}\n`);
  }

  async close(): Promise<void> {
    this.stream.end();
    await once(this.stream, 'close');
  }
}
