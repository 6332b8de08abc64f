import { describe, expect, it } from 'vitest';
import { RateLimit } from './rate-limit.js';

describe('a rate limit', () => {
  it('lets so many through in a minute, and says when the next one is free', () => {
    const limit = new RateLimit(3);
    expect([0, 10_000, 20_000].map((now) => limit.take('a', now))).toEqual([0, 0, 0]);
    expect(limit.take('a', 20_001)).toBe(39_999);
    expect(limit.take('a', 59_999)).toBe(1);
    expect(limit.take('a', 60_000)).toBe(0);
    expect(limit.take('a', 60_001)).toBe(9_999);
  });

  it('allows no burst of twice as many around the turn of a minute', () => {
    const limit = new RateLimit(60);
    for (let i = 0; i < 60; i++) expect(limit.take('a', 59_000 + i)).toBe(0);
    for (let i = 0; i < 60; i++) expect(limit.take('a', 60_000 + i)).toBeGreaterThan(0);
  });

  it('counts each key by itself, and nothing for what was refused', () => {
    const limit = new RateLimit(1);
    expect(limit.take('a', 0)).toBe(0);
    expect(limit.take('b', 0)).toBe(0);
    for (let now = 1; now < 100; now++) expect(limit.take('a', now)).toBe(60_000 - now);
    expect(limit.take('a', 60_000)).toBe(0);
  });

  it('remembers a key that is at its limit, however many others come', () => {
    const limit = new RateLimit(1);
    limit.take('a', 60_000);
    for (let i = 0; i < 25_000; i++) limit.take(`other-${i}`, 60_001 + i / 1000);
    expect(limit.take('a', 61_000)).toBe(59_000);
  });
});
