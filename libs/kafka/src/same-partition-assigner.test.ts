import { describe, expect, it } from 'vitest';
import { sharePartitions } from './same-partition-assigner.js';

const TOPICS = new Map([
  ['commands', Array.from({ length: 12 }, (_, id) => id)],
  ['requests', Array.from({ length: 12 }, (_, id) => id)],
]);

describe('the sharing of partitions', () => {
  it.each([1, 2, 3, 5, 7, 12, 13])('gives a partition of every topic to the same one of %i members', (count) => {
    const members = Array.from({ length: count }, (_, i) => `member-${i}`);
    const shares = sharePartitions(members, TOPICS);
    expect([...shares.keys()].sort()).toEqual([...members].sort());
    for (const share of shares.values()) expect(share['commands']).toEqual(share['requests']);
    for (const topic of TOPICS.keys()) {
      const all = [...shares.values()].flatMap((share) => share[topic] ?? []);
      expect(all.sort((a, b) => a - b)).toEqual(TOPICS.get(topic));
    }
  });

  it('is the same on every member, in whatever order the members are named', () => {
    expect(sharePartitions(['b', 'a', 'c'], TOPICS)).toEqual(sharePartitions(['c', 'b', 'a'], TOPICS));
  });

  it('is even: no member has two partitions of a topic more than another', () => {
    const sizes = [...sharePartitions(['a', 'b', 'c', 'd', 'e'], TOPICS).values()].map(
      (share) => share['requests']!.length,
    );
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  });
});
