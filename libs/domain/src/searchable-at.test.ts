import { describe, expect, it } from 'vitest';
import {
  anySearchable,
  searchableAt,
  SEARCHABILITY_ACTIONS,
  type ImageEvent,
  type ImageHistory,
} from './searchable-at.js';

const minute = (n: number, seconds = 0): string => new Date(Date.UTC(2026, 0, 1, 0, n, seconds)).toISOString();
/** One entry every ten minutes, in this order; in force is what the entries say. */
function history(...actions: readonly (string | [action: string, directionId: string])[]): ImageHistory {
  const events = actions.map((one, index): ImageEvent => {
    const [action, directionId] = typeof one === 'string' ? [one, undefined] : one;
    return { index, eventId: `e-${index}`, at: minute(index * 10), action, directionId };
  });
  const isInForce = (id: string): boolean =>
    events.findLast(({ directionId }) => directionId === id)?.action.endsWith('-lifted') === false;
  return { imageId: 'img-1', events, heldSince: '2029-01-01T00:00:00.000Z', takenAt: undefined, isInForce };
}
const at = (of: ImageHistory, when: string, since?: string): string => searchableAt(of, when, since).searchable;

describe('whether an image was searchable at a time', () => {
  it('is no before it was enrolled, unknown while that was under way, yes afterwards', () => {
    const of = history('images-enrolled');
    expect(at(of, '2025-12-31T23:59:59.000Z')).toBe('no');
    expect(at(of, minute(0, 30))).toBe('unknown');
    expect(at(of, minute(1))).toBe('yes');
    expect(at(of, '2030-01-01T00:00:00.000Z')).toBe('yes');
  });

  it('stays yes while a correction is on its way', () => {
    expect(at(history('images-enrolled', 'images-enrolled'), minute(10, 1))).toBe('yes');
  });

  it.each(['restriction', 'retirement'])('is no under a %s, and yes again when it is lifted', (kind) => {
    const of = history('images-enrolled', [`${kind}-directed`, 'd-1'], [`${kind}-lifted`, 'd-1']);
    expect(at(of, minute(9))).toBe('yes');
    expect(at(of, minute(10, 2))).toBe('unknown');
    expect(at(of, minute(10, 5))).toBe('no');
    expect(at(of, minute(20, 2))).toBe('unknown');
    expect(at(of, minute(20, 5))).toBe('yes');
  });

  it('is no until the last of several directions is lifted', () => {
    const of = history(
      'images-enrolled',
      ['restriction-directed', 'd-1'],
      ['retirement-directed', 'd-2'],
      ['restriction-lifted', 'd-1'],
      ['retirement-lifted', 'd-2'],
    );
    expect(at(of, minute(35))).toBe('no');
    expect(at(of, minute(45))).toBe('yes');
  });

  it('is unknown under a direction that is in the audit, was never lifted and is not in force', () => {
    const of = history(
      'images-enrolled',
      ['restriction-directed', 'never-written'],
      ['restriction-directed', 'd-2'],
      ['restriction-lifted', 'd-2'],
    );
    const written = { ...of, isInForce: () => false };
    expect(at(written, minute(9))).toBe('yes');
    expect(at(written, minute(15))).toBe('unknown');
    expect(at(written, minute(25))).toBe('no');
    expect(at(written, minute(35))).toBe('unknown');
    expect(at({ ...of, isInForce: (id) => id === 'never-written' }, minute(35))).toBe('no');
  });

  it('is unknown after a lifting that is in the audit, of a direction that is in force still', () => {
    const of = history('images-enrolled', ['retirement-directed', 'd-1'], ['retirement-lifted', 'd-1']);
    const held = { ...of, isInForce: () => true };
    expect(at(held, minute(15))).toBe('no');
    expect(at(held, minute(25))).toBe('unknown');
  });

  it('is unknown from when a direction was given or lifted until it was so again: the first may have had no effect', () => {
    const of = history(
      'images-enrolled',
      ['restriction-directed', 'd-1'],
      ['restriction-directed', 'd-1'],
      ['restriction-lifted', 'd-1'],
      ['restriction-lifted', 'd-1'],
    );
    expect([15, 25, 35, 45].map((n) => at(of, minute(n)))).toEqual(['unknown', 'no', 'unknown', 'yes']);
  });

  it('is no for an image that was restricted before it was enrolled', () => {
    expect(at(history(['restriction-directed', 'd-1'], 'images-enrolled'), minute(15))).toBe('no');
  });

  it('is unknown between the asking for an erasure and the entry of its being carried out, and no from then on', () => {
    const of = history('images-enrolled', 'erasure-requested', 'erasure-approved', 'erasure', 'images-enrolled');
    expect(at(of, minute(15))).toBe('unknown');
    expect(at(of, minute(25))).toBe('unknown');
    expect(at(of, minute(30))).toBe('no');
    expect(at(of, minute(40, 30))).toBe('unknown');
    expect(at(of, minute(41))).toBe('yes');
  });

  it('is no for one that was restricted instead of erased', () => {
    expect(
      at(history('images-enrolled', 'erasure-requested', ['restricted-instead-of-erased', 'd-1']), minute(25)),
    ).toBe('no');
  });

  it('is unknown where the entries of that time have been destroyed', () => {
    const of = history('images-enrolled', ['restriction-directed', 'd-1']);
    expect(at(of, minute(5), minute(6))).toBe('unknown');
    expect(at(of, minute(15), minute(6))).toBe('no');
    const early = { ...history(), heldSince: undefined };
    expect(at(early, minute(10), minute(6))).toBe('unknown');
    expect(at(early, minute(10))).toBe('no');
  });

  it('follows the register for one that was enrolled before enrolments were audited', () => {
    const of = { ...history(), heldSince: minute(10) };
    expect(at(of, minute(11), minute(0))).toBe('yes');
    expect(at(of, minute(10, 30), minute(0))).toBe('unknown');
    expect(at({ ...history(['restriction-directed', 'd-1']), heldSince: undefined }, minute(0, 2))).toBe('unknown');
  });

  it('is unknown for one whose enrolment was begun and that is neither held nor erased', () => {
    expect(at({ ...history('images-enrolled'), heldSince: undefined }, minute(15))).toBe('unknown');
    expect(at({ ...history('images-enrolled', 'erasure'), heldSince: undefined }, minute(5))).toBe('yes');
  });

  it('is no before the image was taken, whatever has been destroyed', () => {
    expect(at({ ...history('images-enrolled'), takenAt: minute(0) }, '2025-12-31T00:00:00Z', minute(50))).toBe('no');
  });

  it('names the entries that it follows from, oldest first, and no later ones', () => {
    const of = history('images-enrolled', ['restriction-directed', 'd-1'], ['restriction-lifted', 'd-1']);
    const { evidence } = searchableAt({ ...of, events: [...of.events].reverse() }, minute(15), undefined);
    expect(evidence.map(({ auditEventId }) => auditEventId)).toEqual(['e-0', 'e-1']);
    expect(SEARCHABILITY_ACTIONS).toEqual(expect.arrayContaining(evidence.map(({ action }) => action)));
  });
});

describe('whether a person was searchable', () => {
  it('is yes when any image was, and no only when each was not', () => {
    const [yes, no] = [history('images-enrolled'), history('images-enrolled', 'erasure')].map((of) =>
      searchableAt(of, minute(15), undefined),
    ) as [ReturnType<typeof searchableAt>, ReturnType<typeof searchableAt>];
    const unknown = searchableAt(history('images-enrolled', 'erasure-requested'), minute(15), undefined);
    expect(anySearchable([no, yes, unknown])).toBe('yes');
    expect(anySearchable([no, unknown])).toBe('unknown');
    expect(anySearchable([no, no])).toBe('no');
    expect(anySearchable([])).toBe('no');
  });
});
