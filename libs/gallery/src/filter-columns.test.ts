import { expect, it } from 'vitest';
import type { AgeBand, GalleryFilter, Sex, TemplateMetadata } from '#domain/gallery.js';
import { imageId, subjectId } from '#domain/ids.js';
import { FilterColumns, isFiltering } from './filter-columns.js';
import { seededRandom } from './vectors-for-tests.js';

const SEED = Number(process.env['GALLERY_SEED'] ?? Date.now() % 1e9);
const COUNT = 5000;
const SEXES: readonly (Sex | undefined)[] = ['female', 'male', 'other', 'unknown', undefined];
const AGE_BANDS: readonly (AgeBand | undefined)[] = [
  '10-17',
  '18-24',
  '25-34',
  '35-49',
  '50-64',
  '65+',
  'unknown',
  undefined,
];
const FORCES = ['kent', 'essex', '', undefined];
const DATES = ['2024-01-01T00:00:00Z', '2024-06-01T12:00:00+02:00', '2025-01-01T00:00:00.5Z', 'some day', undefined];

/** What a filter means, an attribute after the other. */
function passes(filter: GalleryFilter, metadata: TemplateMetadata): boolean {
  const capturedMs = metadata.capturedAt === undefined ? NaN : Date.parse(metadata.capturedAt);
  return (
    (filter.force === undefined || metadata.force === filter.force) &&
    (filter.sex === undefined || metadata.sex === filter.sex) &&
    (filter.ageBand === undefined || metadata.ageBand === filter.ageBand) &&
    (filter.capturedFrom === undefined || capturedMs >= Date.parse(filter.capturedFrom)) &&
    (filter.capturedTo === undefined || capturedMs < Date.parse(filter.capturedTo)) &&
    !(filter.excludeImageIds ?? []).includes(metadata.imageId)
  );
}

it(`passes what the filter means, for any metadata and any filter (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const given = <Key extends string, T>(key: Key, value: T | undefined): { [K in Key]?: T } =>
    (value === undefined ? {} : { [key]: value }) as { [K in Key]?: T };
  const columns = new FilterColumns();
  const held: TemplateMetadata[] = [];
  const draw = (slot: number): TemplateMetadata => ({
    imageId: imageId(`i${slot}`),
    subjectId: subjectId('s'),
    ...given('force', one(FORCES)),
    ...given('sex', one(SEXES)),
    ...given('ageBand', one(AGE_BANDS)),
    ...given('capturedAt', one(DATES)),
  });
  for (let slot = 0; slot < COUNT; slot++) columns.set(slot, (held[slot] = draw(slot)));
  for (let slot = 0; slot < COUNT; slot += 3) {
    columns.clear(slot);
    if (slot % 2 === 0) columns.set(slot, (held[slot] = draw(slot)));
    else
      held[slot] = { imageId: imageId(`none${slot}`), subjectId: subjectId('s'), capturedAt: '1970-01-01T00:00:00Z' };
  }
  for (let round = 0; round < 60; round++) {
    const rarely = <T>(of: readonly T[]): T | undefined => (random() < 0.3 ? one(of) : undefined);
    const filter: GalleryFilter = {
      ...given('force', rarely([...FORCES, 'nowhere'])),
      ...given('sex', rarely(SEXES)),
      ...given('ageBand', rarely(AGE_BANDS)),
      ...given('capturedFrom', rarely(DATES.slice(0, 3))),
      ...given('capturedTo', rarely(DATES.slice(0, 3))),
      ...given('excludeImageIds', rarely([[], [imageId('i1'), imageId('i4999'), imageId('nobody')]])),
    };
    const accepts = columns.compile(filter, (id) => (id === 'nobody' ? undefined : Number(id.slice(1))));
    for (let slot = 0; slot < COUNT; slot++) {
      if (accepts(slot) !== passes(filter, held[slot]!)) {
        expect.fail(`${JSON.stringify(filter)} and ${JSON.stringify(held[slot])}`);
      }
    }
  }
});

it('refuses a date that nobody can read', () => {
  const columns = new FilterColumns();
  const slotOf = (): undefined => undefined;
  expect(() => columns.compile({ capturedFrom: 'yesterday' }, slotOf)).toThrow(
    expect.objectContaining({ code: 'BAD_FILTER' }),
  );
  expect(() => columns.compile({ capturedTo: '' }, slotOf)).toThrow(expect.objectContaining({ code: 'BAD_FILTER' }));
});

it('knows a filter that asks for nothing', () => {
  expect(isFiltering(undefined)).toBe(false);
  expect(isFiltering({})).toBe(false);
  expect(isFiltering({ sex: 'male' })).toBe(true);
});
