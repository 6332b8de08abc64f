import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { giveBack } from './give-back.js';

describe('memory that is given back', () => {
  test('of decoded pixels is free before the collector comes by', async () => {
    const picture = sharp({ create: { width: 2_000, height: 2_000, channels: 3, background: '#123456' } });
    const pixels = await picture.raw().toBuffer();
    const before = process.memoryUsage().external;
    giveBack(pixels);
    expect(pixels).toHaveLength(0);
    expect(before - process.memoryUsage().external).toBeGreaterThan(11_000_000);
  });

  test('may be given back twice', () => {
    const values = new Float32Array(8).fill(1);
    giveBack(values);
    giveBack(values);
    expect(values).toHaveLength(0);
  });

  test('is overwritten only, when something else is in it too', () => {
    const shared = new ArrayBuffer(8);
    const first = new Uint8Array(shared, 0, 4).fill(1);
    const second = new Uint8Array(shared, 4, 4).fill(2);
    giveBack(first);
    giveBack(second.subarray(0, 2));
    expect([...first, ...second]).toEqual([0, 0, 0, 0, 0, 0, 2, 2]);
  });
});
