import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sendLines } from './line-sink.js';

const STALLED_MS_MAX = 800;
/** More than the sockets of both ends hold. */
const LINES = `${'x'.repeat(1023)}\n`.repeat(16 * 1024);

let server: Server;
let sending: PromiseWithResolvers<ServerResponse>;

beforeEach(async () => {
  sending = Promise.withResolvers();
  server = createServer((_, response) => sending.resolve(response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** Both ends of an answer of which nothing is read yet. */
async function asked(): Promise<{ response: ServerResponse; reader: IncomingMessage }> {
  const request = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const response = await sending.promise;
  response.flushHeaders();
  const [reader] = (await once(request, 'response')) as [IncomingMessage];
  reader.on('error', () => undefined);
  return { response, reader };
}

const send = (response: ServerResponse): Promise<void> => sendLines(response, LINES, STALLED_MS_MAX);

describe('lines that are sent to whoever asked', () => {
  it('wait for whoever reads slowly, longer than somebody may read nothing', async () => {
    const { response, reader } = await asked();
    const since = Date.now();
    let bytes = 0;
    const slowly = (async () => {
      for await (const chunk of reader as AsyncIterable<Buffer>) {
        const before = bytes;
        bytes += chunk.length;
        if (Math.floor(bytes / 2 ** 20) > Math.floor(before / 2 ** 20)) await pause(100);
      }
    })();
    await send(response);
    expect(Date.now() - since).toBeGreaterThan(STALLED_MS_MAX);
    // Nothing is to be sent for a while: that is no fault of whoever reads.
    await pause(2 * STALLED_MS_MAX);
    response.end();
    await slowly;
    expect(bytes).toBe(LINES.length);
  });

  it('are given up when nothing is read for too long, and the response with them', async () => {
    const { response } = await asked();
    await expect(send(response)).rejects.toThrow('has read nothing');
    expect(response.destroyed).toBe(true);
    await expect(send(response)).rejects.toThrow('has gone');
  });

  it('are given up when whoever asked goes', async () => {
    const { response, reader } = await asked();
    const sent = send(response);
    reader.destroy();
    await expect(sent).rejects.toThrow('has gone');
  });
});
