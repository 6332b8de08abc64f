/**
 * What an enrolment has had answered so far, one JSON line an image, so that a run that was cut short goes on. An answer
 * is to an image with its metadata and choice of face: when any of that is changed, the image is sent again.
 */
import { createHash } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import type { CustodyImage } from '#contracts/custody-image.js';
import type { ImageOutcome } from '#domain/image-outcome.js';

export interface JournalLine {
  readonly imageId: string;
  readonly outcome: ImageOutcome['outcome'];
  readonly code?: string;
  /** Of what was said about the image. Absent in the lines of an earlier version, which count as another's. */
  readonly metadataSha256?: string;
}

export class EnrolmentJournal {
  /** By imageId, of what is being sent now. */
  private readonly asked = new Map<string, string>();

  private constructor(
    private readonly stream: WriteStream,
    private readonly answered: ReadonlyMap<string, JournalLine>,
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

  /** Splits off what an earlier run had answered; the rest is to be sent, and its outcomes recorded here. */
  compare<T extends { readonly image: CustodyImage }>(
    images: readonly T[],
  ): { readonly todo: readonly T[]; readonly answered: readonly JournalLine[] } {
    const todo: T[] = [];
    const answered: JournalLine[] = [];
    for (const item of images) {
      const { imageId } = item.image;
      const metadataSha256 = metadataHash(item.image);
      const line = this.answered.get(imageId);
      if (line?.metadataSha256 === metadataSha256) {
        answered.push(line);
      } else {
        this.asked.set(imageId, metadataSha256);
        todo.push(item);
      }
    }
    return { todo, answered };
  }

  record(outcome: ImageOutcome): void {
    const metadataSha256 = this.asked.get(outcome.imageId);
    const line: JournalLine = {
      imageId: outcome.imageId,
      outcome: outcome.outcome,
      ...('code' in outcome && { code: outcome.code }),
      ...(metadataSha256 !== undefined && { metadataSha256 }),
    };
    this.stream.write(`${JSON.stringify(line)}\n`);
  }

  async close(): Promise<void> {
    this.stream.end();
    await once(this.stream, 'close');
  }
}

function metadataHash(image: CustodyImage): string {
  const fields = Object.entries(image).filter(([, value]) => value !== undefined);
  return createHash('sha256')
    .update(JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex');
}
