import { describe, expect, it } from 'vitest';
import { backoffMs, pause, unlessAborted, within } from './backoff.js';

describe('backoff', () => {
  it('grows, stays between half and all of its step, and never exceeds 2 s', () => {
    for (let attempt = 1; attempt < 100; attempt++) {
      const step = Math.min(2_000, 50 * 2 ** (attempt - 1));
      const delay = backoffMs(attempt);
      expect(delay).toBeGreaterThanOrEqual(step / 2);
      expect(delay).toBeLessThanOrEqual(step);
    }
  });

  it('lets a pause end early when its signal is aborted', async () => {
    const controller = new AbortController();
    const paused = pause(60_000, controller.signal);
    controller.abort();
    await paused;
    await pause(60_000, controller.signal);
  });

  it('rejects what takes too long, with the text given, and passes on what does not', async () => {
    await expect(within(5, 'too late', new Promise(() => {}))).rejects.toThrow('too late');
    await expect(within(1_000, 'too late', Promise.resolve(7))).resolves.toBe(7);
  });

  it('waits for no promise once its signal is aborted, and minds not how that ends', async () => {
    const controller = new AbortController();
    expect(await unlessAborted(Promise.resolve(7), controller.signal)).toBe(7);
    await expect(unlessAborted(Promise.reject(new Error('broken')), controller.signal)).rejects.toThrow('broken');
    const { promise, reject } = Promise.withResolvers<number>();
    const waiting = unlessAborted(promise, controller.signal);
    controller.abort();
    expect(await waiting).toBeUndefined();
    reject(new Error('nobody hears of it'));
    expect(await unlessAborted(new Promise(() => {}), controller.signal)).toBeUndefined();
  });
});
