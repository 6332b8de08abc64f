/** Answers of any length, a line at a time: no faster than whoever asked reads them. */
import type { Writable } from 'node:stream';

/** Takes lines as fast as whoever asked reads them. Rejects when they have gone. */
export type LineSink = (lines: string) => Promise<void>;

/** Resolves when there is room for more. */
export async function sendLines(response: Writable, lines: string): Promise<void> {
  if (response.destroyed) throw new Error('whoever asked has gone');
  if (response.write(lines)) return;
  await new Promise<void>((resolve, reject) => {
    const gone = (): void => {
      response.off('drain', drained);
      reject(new Error('whoever asked has gone'));
    };
    const drained = (): void => {
      response.off('close', gone);
      resolve();
    };
    response.once('drain', drained);
    response.once('close', gone);
  });
}
