/**
 * How much may be held of images that come over HTTP and are not in the log yet. Beyond it a caller is told to come back:
 * the log is where images wait, and when that takes no more, memory must not be what does.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure } from '#domain/errors.js';

/**
 * Before a body is read: counts what it says that it has, or the most that it may have where it does not say.
 *
 * @param heldBytesMax of all that are being received, or wait for Kafka's acknowledgement
 * @param bodyBytesMax of one
 */
export function uploadLimit(heldBytesMax: number, bodyBytesMax: number) {
  let heldBytes = 0;
  return (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void => {
    if (request.method !== 'PUT') {
      next();
      return;
    }
    const said = Number(request.headers['content-length'] ?? bodyBytesMax);
    const bytes = Math.min(Number.isFinite(said) ? said : bodyBytesMax, bodyBytesMax);
    if (heldBytes + bytes > heldBytesMax) {
      // What is sent nevertheless is not read.
      response.setHeader('Connection', 'close');
      next(new Failure('UPLOADS_BUSY', 'As many images are being taken as may; try again later.', true));
      return;
    }
    heldBytes += bytes;
    response.once('close', () => (heldBytes -= bytes));
    next();
  };
}
