import { expect, it } from 'vitest';
import { newClusterId } from './local-broker.js';

it('gives a cluster id that the format tool does not take for an option', () => {
  const dash = Buffer.alloc(16, 0xf8);
  expect(dash.toString('base64url')).toMatch(/^-/);
  const drawn = [dash, dash, Buffer.alloc(16, 1)];
  expect(newClusterId(() => drawn.shift()!)).toBe(Buffer.alloc(16, 1).toString('base64url'));
});
