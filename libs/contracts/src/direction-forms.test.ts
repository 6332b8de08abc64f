import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { parseDirectionForm, parseDirectionList, parseLiftForm } from './direction-forms.js';
import { ERASED_IMAGES_MAX, parseApprovalForm, parseErasureForm } from './erasure-form.js';

const why = { reason: 'The request was upheld', authority: 'DPA 2018 s.47' };

describe('the form of a direction', () => {
  it('is about an image or a subject', () => {
    expect(parseDirectionForm({ imageId: 'img-1', ...why })).toEqual({ imageId: 'img-1', ...why });
    expect(parseDirectionForm({ subjectId: 'subject-1', ...why })).toEqual({ subjectId: 'subject-1', ...why });
  });

  it.each([
    ['nothing', {}, 'BAD_REQUEST'],
    ['both', { imageId: 'img-1', subjectId: 'subject-1' }, 'BAD_REQUEST'],
    ['an image that cannot be', { imageId: 'img 1' }, 'BAD_IMAGE_ID'],
    ['a subject that cannot be', { subjectId: '' }, 'BAD_SUBJECT_ID'],
    ['something else', { imageId: 'img-1', force: 'x' }, 'BAD_REQUEST'],
  ])('about %s is refused', (_, about, code) => {
    expect(codeOf(() => parseDirectionForm({ ...about, ...why }))).toBe(code);
  });

  it.each([
    ['no reason', { authority: why.authority }],
    ['a blank reason', { ...why, reason: '          ' }],
    ['no authority', { reason: why.reason }],
  ])('with %s is refused, and so is lifting it', (_, words) => {
    expect(codeOf(() => parseDirectionForm({ imageId: 'img-1', ...words }))).toBe('BAD_REQUEST');
    expect(codeOf(() => parseLiftForm(words))).toBe('BAD_REQUEST');
  });

  it('lists with limits', () => {
    expect(parseDirectionList({})).toEqual({ limit: 50 });
    expect(parseDirectionList({ subjectId: 's', imageId: 'i', cursor: 'c', limit: '7' })).toEqual({
      ...{ subjectId: 's', imageId: 'i', cursor: 'c', limit: 7 },
    });
    for (const limit of ['0', '201', 'x']) expect(codeOf(() => parseDirectionList({ limit }))).toBe('BAD_REQUEST');
  });
});

describe('the form of an erasure', () => {
  it('names images, each once, or a subject', () => {
    expect(parseErasureForm({ imageId: 'img-1', ...why })).toEqual({ imageIds: ['img-1'], ...why });
    expect(parseErasureForm({ imageIds: ['b', 'a', 'b'], ...why })).toEqual({ imageIds: ['b', 'a'], ...why });
    expect(parseErasureForm({ subjectId: 'subject-1', ...why })).toEqual({ subjectId: 'subject-1', ...why });
  });

  it.each([
    ['nothing', {}, 'BAD_REQUEST'],
    ['two things', { imageId: 'img-1', imageIds: ['img-2'] }, 'BAD_REQUEST'],
    ['no image', { imageIds: [] }, 'BAD_REQUEST'],
    ['an image that cannot be', { imageIds: ['img-1', ''] }, 'BAD_IMAGE_ID'],
    [
      'too many images',
      { imageIds: Array.from({ length: ERASED_IMAGES_MAX + 1 }, (_, i) => `i-${i}`) },
      'TOO_MANY_IMAGES',
    ],
  ])('of %s is refused', (_, about, code) => {
    expect(codeOf(() => parseErasureForm({ ...about, ...why }))).toBe(code);
  });

  it('is approved with a reason', () => {
    expect(parseApprovalForm({ reason: ` ${why.reason} ` })).toEqual({ reason: why.reason });
    expect(codeOf(() => parseApprovalForm({}))).toBe('BAD_REQUEST');
  });
});
