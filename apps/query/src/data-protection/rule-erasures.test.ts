import { describe, expect, it } from 'vitest';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import { Refusal } from '#domain/errors.js';
import type { HeldImage } from '#domain/held-image.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import { reviewDateOf, type RetentionPolicy } from '#domain/retention.js';
import { RuleErasures } from './rule-erasures.js';

const rule = (deleteByRule: boolean) => ({ reviewAfterMonths: 12, childReviewAfterMonths: 12, deleteByRule });
const policy = (deleteByRule: boolean): RetentionPolicy => ({
  version: 3,
  effectiveFrom: '2026-01-01',
  authority: 'Adopted by the chief constable',
  outcomes: {
    'no-further-action': rule(false),
    charged: rule(false),
    acquitted: rule(false),
    convicted: rule(false),
  },
  withoutOutcome: rule(deleteByRule),
  lawfulBases: { reviewed: rule(false) },
});
const image = (n: number, more: Partial<HeldImage> = {}): HeldImage => ({
  imageId: `img-${n}` as ImageId,
  subjectId: `subject-${n}` as SubjectId,
  capturedAt: '2024-01-01',
  sourceOffset: 7 as Offset,
  acceptedAt: '2024-01-01T00:00:00.000Z',
  ...more,
});
const due = [image(1), image(2, { lawfulBasis: 'reviewed' }), image(3, { reviewDue: '2025-01-01' })];
const signal = new AbortController().signal;
const now = new Date('2026-06-30T12:00:00Z');

function erasuresUnder(
  of: RetentionPolicy,
  isHeld: () => boolean = () => false,
  upToDate: () => void = () => undefined,
  refused: readonly string[] = [],
): { asked: (ErasureRequest & { key: string })[]; said: [string, unknown][]; rules: RuleErasures } {
  const asked: (ErasureRequest & { key: string })[] = [];
  const register = {
    reviewsDue: (_before: string, cursor: string | undefined) => {
      const at = Number(cursor ?? 0);
      const page = due.slice(at, at + 1).map((one) => ({ image: one, reviewOn: '2025-01-01' }));
      return { due: page, nextCursor: at + 1 < due.length ? String(at + 1) : null };
    },
    image: (id: ImageId) => due.find(({ imageId }) => imageId === id),
  };
  const reviewDates = { policy: of, of: (one: HeldImage) => reviewDateOf(of, one, [], []) };
  const erase = (_actor: unknown, request: ErasureRequest, key: string): Promise<void> => {
    if ('imageIds' in request && request.imageIds.some((id) => refused.includes(id))) {
      return Promise.reject(new Refusal('IDEMPOTENCY_KEY_REUSED', 'Used before.'));
    }
    asked.push({ ...request, key });
    return Promise.resolve();
  };
  const current = (): Promise<void> => Promise.resolve(upToDate());
  const said: [string, unknown][] = [];
  const say = (event: string, fields?: unknown): void => void said.push([event, fields]);
  const log = { info: say, warn: say };
  return { asked, said, rules: new RuleErasures(register, reviewDates, current, isHeld, erase, log) };
}

describe('an erasure by rule', () => {
  it('is never asked for under a policy of which no rule says so', async () => {
    const { asked, rules } = erasuresUnder(policy(false));
    expect(await rules.askForAll(signal, now)).toBe(0);
    expect(asked).toEqual([]);
  });

  it('is asked for what is due by the rule that says so, and for nothing else', async () => {
    const { asked, rules } = erasuresUnder(policy(true));
    expect(await rules.askForAll(signal, now)).toBe(1);
    expect(asked).toMatchObject([
      {
        imageIds: ['img-1'],
        authority: 'Adopted by the chief constable',
        reason: expect.stringContaining('policy 3') as string,
      },
    ]);
  });

  it('is never asked for before the day from which the policy has effect, and it is said that it waits', async () => {
    const ahead = { ...policy(true), effectiveFrom: '2026-07-01' };
    const { asked, said, rules } = erasuresUnder(ahead);
    expect(await rules.askForAll(signal, new Date('2026-06-30T23:59:59Z'))).toBe(0);
    expect(asked).toEqual([]);
    expect(said).toEqual([['rule-erasures-not-yet', { policyVersion: 3, effectiveFrom: '2026-07-01' }]]);
    expect(await rules.askForAll(signal, new Date('2026-07-01T00:00:00Z'))).toBe(1);
  });

  it('that cannot be asked for leaves those behind it to be asked for, and is told apart from them', async () => {
    due[1] = image(2);
    const { asked, said, rules } = erasuresUnder(policy(true), undefined, undefined, ['img-1']);
    try {
      expect(await rules.askForAll(signal, now)).toBe(1);
      expect(asked).toMatchObject([{ imageIds: ['img-2'] }]);
      expect(said).toMatchObject([
        ['rule-erasure-not-asked', {}],
        ['rule-erasures-asked', { images: 1, failed: 1, policyVersion: 3 }],
      ]);
    } finally {
      due[1] = image(2, { lawfulBasis: 'reviewed' });
    }
  });

  it('is another request, under a key of its own, when the authority is corrected without a new version', async () => {
    const first = erasuresUnder(policy(true));
    const corrected = erasuresUnder({ ...policy(true), authority: 'Adopted by the deputy chief constable' });
    await first.rules.askForAll(signal, now);
    await corrected.rules.askForAll(signal, now);
    expect(corrected.asked[0]!.key).not.toBe(first.asked[0]!.key);
  });

  it('is never asked for before the date that the policy in force gives, whatever the list still says', async () => {
    const longer = policy(true);
    const { asked, rules } = erasuresUnder({
      ...longer,
      withoutOutcome: { ...longer.withoutOutcome, reviewAfterMonths: 72, childReviewAfterMonths: 72 },
    });
    expect(await rules.askForAll(signal, now)).toBe(0);
    expect(asked).toEqual([]);
  });

  it('heeds what was decided a moment ago, and this replica had not read', async () => {
    const { asked, rules } = erasuresUnder(policy(true), undefined, () => {
      due[0] = image(1, { lawfulBasis: 'reviewed' });
    });
    try {
      expect(await rules.askForAll(signal, now)).toBe(0);
      expect(asked).toEqual([]);
    } finally {
      due[0] = image(1);
    }
  });

  it('has the same key each time it is asked for, so that it is one erasure', async () => {
    const { asked, rules } = erasuresUnder(policy(true));
    await rules.askForAll(signal, now);
    await rules.askForAll(signal, now);
    expect(new Set(asked.map(({ key }) => key)).size).toBe(1);
  });

  it('that a hold has made a restriction is another one when the hold is lifted, so that it is not lost', async () => {
    let held = true;
    const { asked, rules } = erasuresUnder(policy(true), () => held);
    await rules.askForAll(signal, now);
    await rules.askForAll(signal, now);
    held = false;
    await rules.askForAll(signal, now);
    await rules.askForAll(signal, now);
    const keys = asked.map(({ key }) => key);
    expect([new Set(keys.slice(0, 2)).size, new Set(keys.slice(2)).size, new Set(keys).size]).toEqual([1, 1, 2]);
  });
});
