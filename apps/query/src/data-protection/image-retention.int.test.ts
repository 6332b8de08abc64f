import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ErasureRequest } from '#contracts/erasure-form.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { Failure } from '#domain/errors.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { AuditLog } from '#audit/audit-log.js';
import { ImageRetention } from './image-retention.js';
import {
  dataProtection,
  enrolForTests,
  newImageId,
  newSubjectId,
  subjectRightsForTests,
  trailOf,
  type SubjectRights,
} from './subject-rights-for-tests.js';

let rights: SubjectRights;
let retention: ImageRetention;
const erasures: ErasureRequest[] = [];
const why = { reason: 'As the custody system reports.', authority: 'Retention policy 1' };

let imageId: ImageId;
let subjectId: SubjectId;
let custodyReference: string;

beforeAll(async () => {
  rights = await subjectRightsForTests();
  retention = retentionWith(rights.audit);
});
afterAll(async () => {
  await rights.close();
  expect(rights.fatal).toEqual([]);
});
beforeEach(async () => {
  [imageId, subjectId, custodyReference] = [newImageId(), newSubjectId(), `GW/${randomUUID()}`];
  await enrolForTests(rights, { imageId, subjectId, custodyReference, capturedAt: '2026-02-03' });
});

function retentionWith(audit: AuditLog): ImageRetention {
  const { publisher, directions, register, reviewDates, custodyDirections } = rights;
  return new ImageRetention(publisher, audit, directions, register, reviewDates, {
    retire: (actor, request, key) => custodyDirections.give(actor, 'retirement', request, key),
    erase: async (_actor, request) => {
      erasures.push(request);
      return { erasureId: 'erasure-1' };
    },
  });
}

const dueBy = (day: string): readonly string[] =>
  rights.register.reviewsDue(day, undefined, 500).due.map(({ image }) => image.imageId);

describe('the outcome of a case', () => {
  it('sets the review date of the images of that stay in custody, and of no other', async () => {
    const other = newImageId();
    await enrolForTests(rights, { imageId: other, subjectId, capturedAt: '2026-02-03' });
    const request = { custodyReference, outcome: 'acquitted', outcomeOn: '2026-06-30', ...why } as const;
    const answer = await retention.report(dataProtection, request, undefined);
    expect(answer).toMatchObject({ custodyReference, subjectId: null, outcome: 'acquitted' });
    expect(answer.images).toEqual([
      {
        imageId,
        review: {
          on: '2026-06-30',
          because: { rule: 'outcome', outcome: 'acquitted', outcomeOn: '2026-06-30', directionId: answer.directionId },
          policyVersion: 1,
          child: false,
          deleteByRule: false,
        },
      },
    ]);
    expect(dueBy('2026-07-01')).toContain(imageId);
    expect(dueBy('2026-07-01')).not.toContain(other);
    expect(dueBy('2027-02-04')).toContain(other);
  });

  it('of a person holds for an image that comes into the register after it was reported, and was taken before', async () => {
    await retention.report(
      { id: 'custody-suite', roles: ['service'] },
      { subjectId, outcome: 'convicted', outcomeOn: '2026-06-30', ...why },
      undefined,
    );
    const late = newImageId();
    await enrolForTests(rights, { imageId: late, subjectId, capturedAt: '2026-05-01' });
    expect(rights.reviewDates.of(rights.register.image(late)!).on).toBe('2032-06-30');
    expect(dueBy('2032-06-30')).not.toContain(late);
    expect(dueBy('2032-07-01')).toEqual(expect.arrayContaining([imageId, late]));
  });

  it('that is reported twice under one key is reported once, and another one under it is refused', async () => {
    const key = randomUUID();
    const request = { custodyReference, outcome: 'charged', outcomeOn: '2026-06-30', ...why } as const;
    const first = await retention.report(dataProtection, request, key);
    expect(await retention.report(dataProtection, request, key)).toEqual(first);
    const another = { ...request, outcome: 'convicted' } as const;
    expect(await codeOfAsync(() => retention.report(dataProtection, another, key))).toBe('IDEMPOTENCY_KEY_REUSED');
    const entries = (await trailOf(rights, subjectId)).filter(({ action }) => action === 'case-outcome-reported');
    expect(entries).toHaveLength(1);
  });

  it('that cannot be audited changes nothing', async () => {
    const broken = new AuditLog({ publishAll: () => Promise.reject(new Failure('KAFKA_UNAVAILABLE', '', true)) }, '/t');
    const request = { custodyReference, outcome: 'acquitted', outcomeOn: '2026-06-30', ...why } as const;
    expect(await codeOfAsync(() => retentionWith(broken).report(dataProtection, request, undefined))).toBe(
      'AUDIT_UNAVAILABLE',
    );
    expect(dueBy('2026-07-01')).not.toContain(imageId);
  });
});

describe('a review', () => {
  it('that retains puts off the images that were looked at, until the case comes to another outcome', async () => {
    const request = { imageId, decision: 'retain', retainUntil: '2030-01-01', ...why } as const;
    const answer = await retention.review(dataProtection, request, undefined);
    expect(answer).toMatchObject({ decision: 'retain', images: [{ imageId, review: { on: '2030-01-01' } }] });
    expect(dueBy('2030-01-01')).not.toContain(imageId);
    expect(dueBy('2030-01-02')).toContain(imageId);
    const outcome = { subjectId, outcome: 'acquitted', outcomeOn: '2026-06-30', ...why } as const;
    await retention.report(dataProtection, outcome, undefined);
    expect(dueBy('2026-07-01')).toContain(imageId);
  });

  it('that retains a person’s images does not speak of those that come later', async () => {
    const request = { subjectId, decision: 'retain', retainUntil: '2030-01-01', ...why } as const;
    await retention.review(dataProtection, request, undefined);
    const later = newImageId();
    await enrolForTests(rights, { imageId: later, subjectId, capturedAt: '2026-03-03' });
    expect(dueBy('2027-04-01')).toContain(later);
    expect(dueBy('2027-04-01')).not.toContain(imageId);
  });

  it('that retires leaves the image held and out of searches, and that erases goes the way of every erasure', async () => {
    const retired = await retention.review(dataProtection, { imageId, decision: 'retire', ...why }, undefined);
    expect(rights.directions.suppressionOf(imageId, subjectId)).toMatchObject({
      kind: 'retirement',
      directionId: retired.decision === 'retire' ? retired.directionId : '',
    });
    expect(rights.register.image(imageId)).toBeDefined();
    erasures.length = 0;
    const erased = await retention.review(dataProtection, { imageId, decision: 'erase', ...why }, undefined);
    expect(erased).toEqual({ decision: 'erase', erasureId: 'erasure-1' });
    expect(erasures).toEqual([{ imageIds: [imageId], ...why }]);
  });

  it('of what is not held is refused', async () => {
    const decision = { decision: 'retire', ...why } as const;
    const ofImage = { imageId: newImageId(), ...decision };
    const ofSubject = { subjectId: newSubjectId(), ...decision };
    expect(await codeOfAsync(() => retention.review(dataProtection, ofImage, undefined))).toBe('IMAGE_NOT_HELD');
    expect(await codeOfAsync(() => retention.review(dataProtection, ofSubject, undefined))).toBe('SUBJECT_NOT_HELD');
  });
});

describe('the list of what is due', () => {
  it('says why, by which policy, and what stands in the way, and is audited', async () => {
    await rights.custodyDirections.give(dataProtection, 'evidence-hold', { imageId, ...why }, undefined);
    let cursor: string | undefined;
    const found = [];
    do {
      const page = await retention.due(dataProtection, { before: '2027-02-04', cursor, limit: 100 });
      expect(page.policy.version).toBe(1);
      found.push(...page.due);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(found.find((due) => due.imageId === imageId)).toMatchObject({
      subjectId,
      custodyReference,
      review: { on: '2027-02-03', because: { rule: 'no-outcome-reported' } },
      suppressedBy: null,
      heldBy: [{ kind: 'evidence-hold' }],
    });
    await eventually(async () => {
      expect((await trailOf(rights, subjectId)).map(({ action }) => action)).toContain('reviews-due-listed');
    });
  });
});
