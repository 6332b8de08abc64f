/**
 * What a process no longer holds, and has not yet overwritten. Buffers that we own are zeroed where they are used; the
 * rest, in the sockets, the decoders and the Kafka client, is freed by the collector at some time, and then still there
 * until somebody else is given the memory. So after an erasure the collector is asked, and glibc is told to overwrite
 * what is freed.
 */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { erasedThrough, type Disposition } from '#domain/disposition.js';

/**
 * glibc's own settings: freed memory is filled with one byte, and small pieces do not wait in a cache that is not filled.
 * Measured with the face pipeline: no difference beyond the noise. Elsewhere than with glibc they mean nothing.
 */
const OVERWRITE_FREED = 'glibc.malloc.perturb=165:glibc.malloc.tcache_count=0';
/** When what was under way at the erasure is done, and again, because what the first one frees holds more. */
const COLLECT_AFTER_MS = [2_000, 6_000, 12_000];

/**
 * V8 waits for 64 MiB outside its heap, and a process keeps what it once had: what waits for the collector is bounded
 * by this instead, some thousand photographs. A collection takes some 50 ms, which is .05 ms of each.
 */
const COLLECT_AFTER_BYTES = 16 * 1024 * 1024;

/** Several times the buffer: a part of it at a time is received. */
const RECEIVED_BYTES = 512 * 1024;

/** For a process that is to be started. Whoever has settings of their own keeps them. */
export function overwritingFreed(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...environment, GLIBC_TUNABLES: environment['GLIBC_TUNABLES'] ?? OVERWRITE_FREED };
}

/** Asks the collector after erasures; those that come together share the asking. */
export class FreedMemory {
  private readonly collect = collector();
  private isUnderWay = false;
  private again = false;
  private droppedBytes = 0;

  /** Before the process handles anything. */
  constructor() {
    // Small buffers come out of one that stays for as long as any of them is used, with all that was ever in it.
    Buffer.poolSize = 0;
  }

  noticed(changes: readonly { readonly disposition: Disposition | null }[]): void {
    if (changes.some(({ disposition }) => erasedThrough(disposition ?? undefined) !== undefined)) this.forgetSoon();
  }

  /** Something was read that is erased. */
  forgetSoon(): void {
    this.again = this.isUnderWay;
    if (this.isUnderWay) return;
    this.isUnderWay = true;
    for (const ms of COLLECT_AFTER_MS) setTimeout(() => this.forget(), ms).unref();
    setTimeout(() => this.ended(), Math.max(...COLLECT_AFTER_MS)).unref();
  }

  /** Nobody needs these buffers any more; the collector is asked when there are enough of them. */
  dropped(buffers: Iterable<Uint8Array | null>): void {
    for (const buffer of buffers) this.droppedBytes += buffer?.byteLength ?? 0;
    if (this.droppedBytes < COLLECT_AFTER_BYTES) return;
    this.droppedBytes = 0;
    this.collect();
  }

  private forget(): void {
    overwriteReceived();
    this.collect();
  }

  private ended(): void {
    this.isUnderWay = false;
    if (this.again) this.forgetSoon();
  }
}

/**
 * Sends a long request to itself, and a long answer back. What a thread receives is read into buffers of 64 KiB, one of
 * the HTTP parser and one of the other sockets, which stay for as long as the process, with the end of something long in
 * them behind whatever is shorter and came since.
 */
function overwriteReceived(): void {
  const server = createServer((incoming, response) => {
    incoming.resume().on('end', () => response.end(Buffer.alloc(RECEIVED_BYTES)));
  });
  const give = (): void => void server.close();
  server.on('error', give).listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    const outgoing = request({ host: '127.0.0.1', port, method: 'POST', agent: false });
    outgoing.on('error', give).on('response', (answer) => answer.resume().on('close', give));
    outgoing.end(Buffer.alloc(RECEIVED_BYTES));
  });
  server.unref();
}

/** The collector, which Node hands out when it is asked at the start, or through a context that is made afterwards. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
