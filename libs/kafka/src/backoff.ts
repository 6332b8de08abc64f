/** Exponential, with jitter so that a fleet does not come back in step, and capped so that recovery is noticed soon. */
const FIRST_DELAY_MS = 50;
const LAST_DELAY_MS = 2_000;

/** @param attempt 1 for the delay before the first retry */
export function backoffMs(attempt: number): number {
  const full = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 16));
  return full / 2 + Math.random() * (full / 2);
}

/** Resolves after `ms`, or at once when the signal is aborted; it never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Rejects with `message` when the promise takes longer. The promise itself goes on; what it does later is ignored. */
export async function within<T>(timeoutMs: number, message: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => undefined);
  }
}

/** Resolves with undefined as soon as the signal is aborted; what the promise does then is ignored. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const onAbort = (): void => resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  promise.catch(() => undefined);
  try {
    const first = await Promise.race([promise, aborted]);
    return signal.aborted ? undefined : first;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
