import { expect, test } from 'vitest';
import { Slots } from './slots.js';

const full = () => new Error('FULL');

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

test('never gives a resource to two at a time, and serves in order', async () => {
  const slots = new Slots(['a', 'b'], 100, full);
  const held = new Set<string>();
  const started: number[] = [];
  const work = async (resource: string, i: number) => {
    expect(held.has(resource)).toBe(false);
    held.add(resource);
    started.push(i);
    await new Promise((resolve) => setImmediate(resolve));
    held.delete(resource);
  };
  await Promise.all(Array.from({ length: 20 }, (_, i) => slots.use((resource) => work(resource, i))));
  expect(started).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(slots.inUse).toBe(0);
});

test('refuses at once when as many wait as may', async () => {
  const { opened, open } = gate();
  const slots = new Slots(['a'], 1, full);
  const first = slots.use(() => opened);
  const second = slots.use(() => Promise.resolve('second'));
  await expect(slots.use(() => Promise.resolve())).rejects.toThrow('FULL');
  open();
  await first;
  expect(await second).toBe('second');
});

test('gives the resource back when the work throws', async () => {
  const slots = new Slots(['a'], 0, full);
  await expect(slots.use(() => Promise.reject(new Error('bad')))).rejects.toThrow('bad');
  expect(await slots.use((resource) => Promise.resolve(resource))).toBe('a');
});

test('drains only after the work that was asked for before', async () => {
  const { opened, open } = gate();
  const slots = new Slots(['a', 'b'], 10, full);
  const ended: string[] = [];
  const work = (name: string) => slots.use(() => opened.then(() => void ended.push(name)));
  const all = [work('first'), work('second'), work('third')];
  const drained = slots.drain().then(() => ended.push('drained'));
  open();
  await Promise.all([...all, drained]);
  expect(ended).toEqual(['first', 'second', 'third', 'drained']);
});
