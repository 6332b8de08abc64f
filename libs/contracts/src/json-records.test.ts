/** Outcomes, dispositions and what the branded ids of every JSON record are checked by. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { Disposition } from '#domain/disposition.js';
import { imageId, modelId, searchId, subjectId, type ImageId, type ModelId, type Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import { dispositionHeaders, encodeDisposition, parseDisposition } from './disposition-record.js';
import { encodeOutcome, outcomeHeaders, parseOutcome } from './outcome-record.js';
import { imageIdSchema, modelIdSchema, searchIdSchema, subjectIdSchema } from './record-schemas.js';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const box = { left: 1, top: 2, right: 3, bottom: 4 };
const base = {
  imageId: 'img-1' as ImageId,
  at: '2026-01-02T03:04:05.678Z',
  source: { partition: 3, offset: 7 as Offset },
};

const outcomes: readonly ImageOutcome[] = [
  {
    ...base,
    outcome: 'enrolled',
    modelId: '00112233aabbccdd' as ModelId,
    template: { partition: 3, offset: 9 as Offset },
    faceBox: box,
    facesFound: 2,
    embeddingNorm: 3.25,
    warnings: ['blurred'],
  },
  { ...base, outcome: 'refused', code: 'MULTIPLE_FACES', detail: 'Ü', faces: [{ index: 0, box, confidence: 0.9 }] },
  { ...base, outcome: 'refused', code: 'NO_FACE', detail: 'none' },
  { ...base, outcome: 'failed', code: 'INTERNAL', detail: 'ours' },
  { ...base, outcome: 'superseded', by: 'later-image' },
  { ...base, outcome: 'superseded', by: 'erasure' },
  {
    ...base,
    outcome: 'erased',
    authority: 'DPA 2018 s.47',
    reason: 'acquitted',
    disposition: { partition: 3, offset: 0 as Offset },
  },
  {
    ...base,
    outcome: 'restricted',
    authority: 'DPA 2018 s.47',
    reason: 'acquitted',
    heldBy: [{ directionId: 'search/1', kind: 'open-search' }],
    restrictionId: 'r-1',
  },
];

describe('an outcome', () => {
  it.each(outcomes.map((outcome) => [outcome.outcome, outcome] as const))('%s comes back whole', (_, outcome) => {
    expect(parseOutcome(encodeOutcome(outcome))).toEqual(outcome);
    expect(outcomeHeaders(outcome, '/ingest')).toMatchObject({
      ce_subject: 'img-1',
      'content-type': 'application/json',
    });
  });

  it.each([
    ['RECORD_NOT_JSON', Buffer.from('{')],
    ['RECORD_NOT_JSON', null],
    ['RECORD_SCHEMA', json({ ...base, outcome: 'lost' })],
    ['RECORD_SCHEMA', json({ ...base, outcome: 'enrolled' })],
    ['RECORD_SCHEMA', json({ ...outcomes[2], imageId: 'a b' })],
    ['RECORD_SCHEMA', json({ ...outcomes[2], at: 'now' })],
    ['RECORD_SCHEMA', json({ ...outcomes[2], source: { partition: -1, offset: 0 } })],
    ['RECORD_SCHEMA', json({ ...outcomes[2], source: { partition: 0, offset: 0.5 } })],
  ])('is refused with %s when it is none', (code, value) => {
    expect(codeOf(() => parseOutcome(value))).toBe(code);
  });
});

describe('a disposition', () => {
  const disposition: Disposition = {
    imageId: 'img-1' as ImageId,
    kind: 'restricted',
    since: '2026-01-02T03:04:05Z',
    authority: 'evidence hold Ø',
    reason: 'appeal',
    sourceOffset: 12 as Offset,
    erasedThrough: 0 as Offset,
  };

  it.each(['restricted', 'retired', 'erased'] as const)('%s comes back whole', (kind) => {
    expect(parseDisposition(encodeDisposition({ ...disposition, kind }))).toEqual({ ...disposition, kind });
    const { erasedThrough: _through, ...without } = { ...disposition, kind };
    expect(parseDisposition(encodeDisposition(without))).toEqual(without);
    expect(dispositionHeaders('img-1', '/i')).toMatchObject({ ce_subject: 'img-1' });
  });

  it.each([
    ['RECORD_NOT_JSON', Buffer.from('erased')],
    ['RECORD_SCHEMA', json({ ...disposition, kind: 'hidden' })],
    ['RECORD_SCHEMA', json({ ...disposition, sourceOffset: -1 })],
    ['RECORD_SCHEMA', json({ ...disposition, sourceOffset: undefined })],
    ['RECORD_SCHEMA', json({ ...disposition, since: '2026' })],
  ])('is refused with %s when it cannot be read', (code, value) => {
    expect(codeOf(() => parseDisposition(value))).toBe(code);
  });
});

describe('the ids in JSON records', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.uuid(),
    fc.uuid().map((id) => id.toUpperCase()),
    fc.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
    fc.stringMatching(/^[0-9a-f]{15,17}$/),
    fc.stringMatching(/^[\x20-\x7f]{120,130}$/),
  );

  it.each([
    ['imageId', imageId, imageIdSchema],
    ['subjectId', subjectId, subjectIdSchema],
    ['searchId', searchId, searchIdSchema],
    ['modelId', modelId, modelIdSchema],
  ])('are accepted exactly when the domain accepts them: %s', (_, parse, schema) => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(schema.safeParse(text).success).toBe(codeOf(() => parse(text)) === undefined);
      }),
      { numRuns: 500 },
    );
  });
});
