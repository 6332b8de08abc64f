/** A file that is written a piece at a time, as fast as the disk takes them. For the eyes of whoever ran the command. */
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';

/** `w` replaces what is there; `wx` leaves it, and fails with EEXIST. */
export type WriteFlag = 'w' | 'wx';

export class TextFile {
  private readonly stream: WriteStream;

  constructor(
    readonly path: string,
    flags: WriteFlag = 'w',
  ) {
    this.stream = createWriteStream(path, { mode: 0o600, flags });
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
