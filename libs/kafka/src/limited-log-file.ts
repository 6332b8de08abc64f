import { appendFileSync, existsSync, renameSync, statSync } from 'node:fs';

/** Two files of this size are kept: what a person reads after an incident, not an archive. */
const FILE_BYTES_MAX = 10 * 1024 * 1024;

/**
 * Appends lines to a file, and begins a new one (the old becomes `<file>.1`) when it is full. A line that the disk has
 * no room for is dropped: a full disk must not end whoever writes.
 */
export class LimitedLogFile {
  private bytes: number;

  constructor(
    private readonly path: string,
    private readonly bytesMax: number = FILE_BYTES_MAX,
  ) {
    this.bytes = existsSync(path) ? statSync(path).size : 0;
  }

  append(line: string): void {
    try {
      if (this.bytes >= this.bytesMax) {
        renameSync(this.path, `${this.path}.1`);
        this.bytes = 0;
      }
      appendFileSync(this.path, `${line}\n`);
      this.bytes += Buffer.byteLength(line) + 1;
    } catch {
      // There is nowhere to say it.
    }
  }
}
