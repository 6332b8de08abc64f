import { describe, expect, it } from 'vitest';
import type { GenerationGap } from '#domain/generation-gap.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import { gapClosed, gapRecord, parseGap, parseGapKey } from './gap-record.js';
import { GALLERY_GAPS } from './topics.js';

const modelId = '00112233aabbccdd' as ModelId;
const gap: GenerationGap = {
  modelId,
  imageId: 'img/1' as ImageId,
  subjectId: 's-1' as SubjectId,
  sourceOffset: 7 as Offset,
  code: 'NO_FACE',
  detail: 'No face was found in the image.',
  at: '2026-01-02T03:04:05.000Z',
};

describe('what a gallery lacks', () => {
  it('reads as it was written, under the model and the image', () => {
    const { topic, key, value } = gapRecord(gap, '/test');
    expect(topic).toBe(GALLERY_GAPS);
    expect(parseGap(value as Buffer)).toEqual(gap);
    // An imageId may hold whatever is printable.
    expect(parseGapKey(String(key))).toEqual({ modelId, imageId: gap.imageId });
  });

  it('ends with a null under the same key', () => {
    expect(gapClosed(modelId, gap.imageId, '/test')).toMatchObject({ key: gapRecord(gap, '/test').key, value: null });
  });

  it.each(['', 'img-1', '00112233aabbccdd', '00112233aabbccdd/', 'x0112233aabbccdd/img-1'])(
    'takes %j for no key of its own',
    (key) => {
      expect(parseGapKey(key)).toBeUndefined();
    },
  );
});
