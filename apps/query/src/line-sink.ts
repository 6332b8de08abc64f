/** Answers of any length, a line at a time: no faster than whoever asked reads them. */
import type { ServerResponse } from 'node:http';

/** Takes lines as fast as whoever asked reads them. Rejects when they have gone, or read no more. */
export type LineSink = (lines: string) => Promise<void>;

/** How long nothing may be read: an export that waits for it keeps its place, and the files that it reads from. */
const STALLED_MS_MAX = 60_000;

/**
 * Resolves when there is room for more.
 *
 * @param stalledMsMax how long whoever asked may read nothing at all; then the response is destroyed
 */
export async function sendLines(
  response: ServerResponse,
  lines: string,
  stalledMsMax: number = STALLED_MS_MAX,
): Promise<void> {
  if (response.destroyed) throw new Error('whoever asked has gone');
  if (response.write(lines)) return;
  await new Promise<void>((resolve, reject) => {
    // The socket's own clock, which starts anew with whatever part of the lines it can hand over: slow is not stalled.
    response.setTimeout(stalledMsMax);
    const over = (): void => {
      response.setTimeout(0);
      response.off('drain', drained).off('close', gone).off('timeout', stalled);
    };
    const drained = (): void => {
      over();
      resolve();
    };
    const gone = (): void => {
      over();
      reject(new Error('whoever asked has gone'));
    };
    const stalled = (): void => {
      over();
      response.destroy();
      reject(new Error(`whoever asked has read nothing for ${stalledMsMax} ms`));
    };
    response.once('drain', drained).once('close', gone).once('timeout', stalled);
  });
}
