import { describe, expect, it } from 'vitest';
import {
  Directions,
  dispositionsUnder,
  openSearchId,
  subjectImagesId,
  type Direction,
  type DirectionTarget,
  type Suppression,
} from './direction.js';
import { erasedThrough, mergeDisposition, type Disposition } from './disposition.js';
import type { ImageId, Offset, SearchId, SubjectId } from './ids.js';

const [image, other] = ['img-1', 'img-2'] as ImageId[] as [ImageId, ImageId];
const subject = 'subject-1' as SubjectId;
const base = { authority: 'a', reason: 'r', by: 'dpo-1', role: 'data-protection' as const };
const at = (minute: number): string => `2026-01-01T00:0${minute}:00.000Z`;

function direction(
  id: string,
  kind: 'restriction' | 'retirement' | 'evidence-hold' | 'open-search' | 'subject-images',
  target: DirectionTarget,
  minute = 0,
) {
  return { ...base, directionId: id, kind, target, at: at(minute) };
}

const ofImage: DirectionTarget = { imageIds: [image] };
const ofSubject: DirectionTarget = { subjectId: subject, imageIds: [image] };

function book(...all: Direction[]): Directions {
  const directions = new Directions();
  for (const one of all) directions.put(one);
  return directions;
}

describe('the directions in force', () => {
  it('forbid an erasure when they are evidence holds or open searches, and by nothing else', () => {
    const hold = direction('h', 'evidence-hold', ofImage);
    const search = direction(openSearchId('s' as SearchId), 'open-search', ofImage);
    const directions = book(
      direction('r', 'restriction', ofImage),
      direction('t', 'retirement', ofImage),
      hold,
      search,
    );
    expect(directions.holdsOn(image, undefined)).toEqual([hold, search]);
    expect(directions.holdsOn(other, undefined)).toEqual([]);
  });

  it('about a subject hold for images that they do not name yet, and by the named ones where the subject is not known', () => {
    const hold = direction('h', 'evidence-hold', ofSubject);
    expect(book(hold).holdsOn(other, subject)).toEqual([hold]);
    expect(book(hold).holdsOn(other, undefined)).toEqual([]);
    expect(book(hold).holdsOn(image, undefined)).toEqual([hold]);
    expect(book(hold).holdsOn(image, subject)).toEqual([hold]);
  });

  it('about a subject are found by the images that were written of the subject since, where the subject is not known', () => {
    const hold = direction('h', 'evidence-hold', { subjectId: subject, imageIds: [] });
    const written = (imageIds: ImageId[]) =>
      direction(subjectImagesId(subject), 'subject-images', { subjectId: subject, imageIds });
    const directions = book(hold, written([image]));
    expect([directions.holdsOn(image, undefined), directions.holdsOn(other, undefined)]).toEqual([[hold], []]);
    directions.put(written([other]));
    expect([directions.holdsOn(image, undefined), directions.holdsOn(other, undefined)]).toEqual([[], [hold]]);
    expect(directions.about(other, undefined)).toEqual([hold]);
  });

  it('about a subject let an image go that has turned out to be somebody else’s, where that is known', () => {
    const restriction = direction('r', 'restriction', ofSubject);
    expect(book(restriction).suppressionOf(image, 'subject-2' as SubjectId)).toBeUndefined();
    expect(book(restriction).suppressionOf(image, undefined)).toEqual(restriction);
  });

  it('keep as evidence an image that they name, also when its record is corrected to be somebody else’s', () => {
    const hold = direction('h', 'evidence-hold', ofSubject);
    expect(book(hold).holdsOn(image, 'subject-2' as SubjectId)).toEqual([hold]);
    expect(book(hold).holdsOn(image, undefined)).toEqual([hold]);
    expect(book(hold).holdsOn(other, 'subject-2' as SubjectId)).toEqual([]);
  });

  it('are found by what they are about after they were replaced, and no longer by what they were about', () => {
    const directions = book(direction('h', 'evidence-hold', ofSubject));
    const replaced = direction('h', 'evidence-hold', { imageIds: [other] });
    directions.put(replaced);
    expect(directions.about(image, subject)).toEqual([]);
    expect(directions.about(other, undefined)).toEqual([replaced]);
    directions.remove('h');
    directions.remove('h');
    expect([directions.get('h'), directions.about(other, undefined), directions.aboutSubject(subject)]).toEqual([
      undefined,
      [],
      [],
    ]);
  });

  it('restrict before they retire, and the first of a kind counts', () => {
    const retired = direction('a', 'retirement', ofImage, 0);
    const [late, early] = [direction('b', 'restriction', ofImage, 2), direction('c', 'restriction', ofSubject, 1)];
    expect(book(retired, late, early).suppressionOf(image, undefined)).toEqual(early);
    expect(book(retired, late).suppressionOf(image, undefined)).toEqual(late);
    expect(book(retired).suppressionOf(image, undefined)).toEqual(retired);
    const twin = direction('d', 'restriction', ofImage, 1);
    expect(book(twin, early).suppressionOf(image, undefined)).toEqual(early);
    expect(book(direction('h', 'evidence-hold', ofImage)).suppressionOf(image, undefined)).toBeUndefined();
  });

  it('are listed by kind', () => {
    const [hold, retired] = [direction('h', 'evidence-hold', ofImage), direction('t', 'retirement', ofImage)];
    expect(book(hold, retired).all('retirement')).toEqual([retired]);
  });
});

describe('the dispositions that are to be written', () => {
  const restriction = direction('r', 'restriction', ofImage) as Suppression;
  const retirement = direction('t', 'retirement', ofImage) as Suppression;
  const erased: Disposition = {
    imageId: image,
    kind: 'erased',
    since: at(0),
    authority: 'a',
    reason: 'r',
    sourceOffset: 5 as Offset,
  };

  /** What every service has in force once they are read. */
  function after(known: Disposition | undefined, written: readonly (Disposition | null)[]): Disposition | undefined {
    return written.reduce<Disposition | undefined>((before, next) => mergeDisposition(before, next), known);
  }
  const under = (suppression: Suppression | undefined, known: Disposition | undefined) =>
    dispositionsUnder(suppression, image, known, 9 as Offset);

  it('restrict or retire, and name the direction that may lift them', () => {
    expect(under(restriction, undefined)).toEqual([
      {
        imageId: image,
        kind: 'restricted',
        since: at(0),
        authority: 'a',
        reason: 'r',
        sourceOffset: 9,
        directionId: 'r',
      },
    ]);
    expect(under(retirement, undefined)).toMatchObject([{ kind: 'retired', directionId: 't' }]);
  });

  it('are none when they are in force', () => {
    for (const suppression of [restriction, retirement]) {
      expect(under(suppression, after(undefined, under(suppression, undefined)))).toEqual([]);
    }
    expect([under(undefined, undefined), under(undefined, erased)]).toEqual([[], []]);
  });

  it('change from one direction to the other', () => {
    const restricted = after(undefined, under(restriction, undefined));
    expect(after(restricted, under(retirement, restricted))).toMatchObject({ kind: 'retired', directionId: 't' });
  });

  it('make the image active again when no direction is left', () => {
    const restricted = after(undefined, under(restriction, undefined));
    expect(under(undefined, restricted)).toEqual([null]);
    expect(after(restricted, [null])).toBeUndefined();
  });

  it('never lift an erasure, and leave its bound in the last record of the key', () => {
    const restricted = after(erased, under(restriction, erased));
    expect([restricted?.kind, erasedThrough(restricted)]).toEqual(['restricted', 5]);
    const written = under(undefined, restricted);
    expect(after(restricted, written)?.kind).toBe('erased');
    expect(erasedThrough(after(restricted, written))).toBe(5);
    expect(erasedThrough(after(undefined, [written.at(-1)!]))).toBe(5);
  });

  it('lift a suppression for one who reads only the last record of the key, and no suppression but that', () => {
    const restricted = after(erased, under(restriction, erased));
    const bound = under(undefined, restricted).at(-1)!;
    const lifted = after(restricted, [bound])!;
    expect([lifted.kind, erasedThrough(lifted), lifted.lifts]).toEqual(['erased', 5, undefined]);
    expect(after(undefined, [bound])).not.toHaveProperty('lifts');
    const retired = after(erased, under(retirement, erased));
    expect(after(retired, [bound])).toEqual(retired);
  });

  it('leave alone what was decided elsewhere', () => {
    const byHand: Disposition = { ...erased, kind: 'restricted' };
    expect([under(undefined, byHand), under(restriction, byHand)]).toEqual([[], []]);
  });
});
