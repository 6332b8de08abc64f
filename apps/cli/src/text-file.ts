/** A file that is written a piece at a time, as fast as the disk takes them. For the eyes of whoever ran the command. */
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';

export class TextFile {
  private readonly stream: WriteStream;

  /** Replaces what is there. */
  constructor(readonly path: string) {
    this.stream = createWriteStream(path, { mode: 0o600 });
    // Thrown by whatever is written next.
    this.stream.on('error', () => undefined);
  }

  async write(text: string): Promise<void> {
    this.throwError();
    if (!this.stream.write(text)) await once(this.stream, 'drain');
  }

  async close(): Promise<void> {
    this.throwError();
    this.stream.end();
    await once(this.stream, 'close');
    this.throwError();
  }

  private throwError(): void {
    const { errored } = this.stream;
    if (errored !== null) throw errored;
  }
}
