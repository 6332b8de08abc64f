/** The headers that are read by hand, because their refusals have codes of their own, against their published schemas. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkErasureHeaders,
  custodyImageHeaders,
  erasureHeaders,
  parseCustodyImage,
} from '#contracts/custody-image.js';
import { galleryQueryHeaders, parseGalleryQuery } from '#contracts/gallery-query.js';
import { parseSearchRequestFields, searchRequestHeaders } from '#contracts/search-record.js';
import { parseTemplateKeeping, parseTemplateRecord, templateHeaders } from '#contracts/template-record.js';
import { Refusal } from '#domain/errors.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import { problems } from './published-schemas.js';

const id = 'img-1' as ImageId;
const searchId = '0b5f7f0e-7d1c-4a7e-9a52-5c6b9a1d2e3f' as SearchId;
const modelId = '00112233aabbccdd' as ModelId;

const REQUEST = {
  crimeReference: 'CR/1/26',
  offence: 'burglary',
  source: 'cctv',
  justification: 'Seen on the doorbell camera at the time of the break-in.',
  investigatingOfficer: 'io-1',
  filter: { force: 'Ö', sex: 'female', excludeImageIds: [id] },
  limit: 50,
} as const;

const image = {
  imageId: id,
  subjectId: 'subject-1' as SubjectId,
  force: 'Dyfed–Powys',
  custodyReference: 'DP/26/1',
  capturedAt: '2026-02-03',
  lawfulBasis: 'PACE s.64A',
  reviewDue: '2032-02-03T00:00:00+01:00',
  sex: 'female',
  ageBand: '25-34',
  face: 3,
  correctionOf: 7 as Offset,
  photographFrom: 3 as Offset,
} as const;

/** By the published name of the headers: some that fit, and what reads them here. */
const READ: Readonly<Record<string, readonly [Record<string, string>, (headers: Record<string, string>) => unknown]>> =
  {
    'custody.image.v1': [custodyImageHeaders(image, '/custody', 'image/jpeg'), (h) => parseCustodyImage(id, h)],
    'custody.erasure.v1': [erasureHeaders(id, '/custody', 'a.b.c'), (h) => checkErasureHeaders(id, h)],
    'searches.request.v1': [
      searchRequestHeaders(searchId, REQUEST, 'image/jpeg', 'a.b.c', '/case'),
      (h) => parseSearchRequestFields(h),
    ],
    'gallery.query.v1': [
      galleryQueryHeaders(
        { queryId: 'q', modelId, k: 10, mode: 'auto', filter: { force: 'x' }, deadlineMs: 1.5, replyPartition: 3 },
        '/query',
      ),
      (h) => parseGalleryQuery(h),
    ],
    'gallery.template.v1': [
      templateHeaders(
        {
          modelId,
          metadata: {
            ...{
              imageId: id,
              subjectId: 's' as SubjectId,
              force: 'x',
              custodyReference: 'y',
              capturedAt: '2026-02-03',
            },
            ...{
              sex: 'male',
              ageBand: '65+',
              faceBox: { left: -1.2, top: 0, right: 9, bottom: 9 },
              embeddingNorm: 3.25,
            },
          },
          source: { sourceOffset: 7 as Offset, acceptedAtMs: 1_700_000_000_000 },
          keeping: { lawfulBasis: 'b', reviewDue: '2026-02-03', face: 0, photographFrom: 2 as Offset },
        },
        '/ingest',
      ),
      (h) => [parseTemplateRecord(Buffer.from(id), h), parseTemplateKeeping(h)],
    ],
  };

/** Values that are odd somewhere, or are one's neighbour's. */
const values = fc.oneof(
  fc.constantFrom(
    '0',
    '3',
    '7',
    '-1',
    '12',
    '1e3',
    'x',
    'female',
    'largest',
    '2026-02-03',
    '2026-13-01',
    '2026-02-03T00:00:00Z',
  ),
  fc.constantFrom('exact', '1,2,3,4', '1,2', modelId, 'img-1', 'a b', 'Ü', '{}', '{"limit":"x"}', 'x'.repeat(300)),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
);

describe.each(Object.entries(READ))('the headers of %s', (type, [headers, read]) => {
  const name = `${type}.headers`;

  test('fit their published schema as they are written here, and are read', () => {
    expect(problems(name, headers)).toEqual([]);
    expect(() => read(headers)).not.toThrow();
  });

  test('are read whenever they fit it', () => {
    let fitted = 0;
    const changed = fc.record({ header: fc.constantFrom(...Object.keys(headers)), value: fc.option(values) });
    fc.assert(
      fc.property(fc.array(changed, { minLength: 1, maxLength: 2 }), (changes) => {
        const sent: Record<string, string> = { ...headers };
        for (const { header, value } of changes) {
          // An id that differs from the key is refused: that is no matter of one header.
          if (header === 'ce_subject' && type.startsWith('custody.')) continue;
          if (value === null) delete sent[header];
          else sent[header] = value;
        }
        if (problems(name, sent).length > 0) return;
        // What the JSON inside a header must be, its own schema says: it is left as it was.
        if (['ce_request', 'ce_filter'].some((header) => sent[header] !== headers[header])) return;
        fitted++;
        expect(() => read(sent)).not.toThrow();
      }),
      { numRuns: 1000 },
    );
    expect(fitted).toBeGreaterThan(10);
  });

  test('do not fit it without what the reader needs', () => {
    for (const header of Object.keys(headers)) {
      const { [header]: _left, ...sent } = headers;
      const isRefused = refuses(() => read(sent));
      // The assertion is looked at by who knows the keys.
      if (isRefused) expect(problems(name, sent), header).not.toEqual([]);
    }
  });
});

function refuses(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof Refusal) return true;
    throw error;
  }
}
