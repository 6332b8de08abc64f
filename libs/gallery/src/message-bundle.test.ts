import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MessageBundle } from './message-bundle.js';

describe('messages to another thread', () => {
  function opened() {
    const posted: { messages: readonly string[]; transfers: ArrayBuffer[] }[] = [];
    const bundle = new MessageBundle<string>((messages, transfers) => posted.push({ messages, transfers }));
    return { posted, bundle };
  }

  it('of one turn go together, in their order and with all that goes over uncopied', async () => {
    const { posted, bundle } = opened();
    const buffer = new ArrayBuffer(8);
    bundle.send('a');
    bundle.send('b', [buffer]);
    expect(posted).toEqual([]);
    await nextTurn();
    bundle.send('c');
    await nextTurn();
    expect(posted).toEqual([
      { messages: ['a', 'b'], transfers: [buffer] },
      { messages: ['c'], transfers: [] },
    ]);
    expect(posted[0]!.transfers[0]).toBe(buffer);
  });

  it('do not wait for the end of a long turn', () => {
    const { posted, bundle } = opened();
    bundle.send('a');
    const startMs = performance.now();
    while (performance.now() - startMs < 5);
    bundle.send('b');
    expect(posted.map(({ messages }) => messages)).toEqual([['a', 'b']]);
  });

  it('go once, whoever asks for it', async () => {
    const { posted, bundle } = opened();
    bundle.send('a');
    bundle.flush();
    bundle.flush();
    await nextTurn();
    expect(posted.map(({ messages }) => messages)).toEqual([['a']]);
  });
});
