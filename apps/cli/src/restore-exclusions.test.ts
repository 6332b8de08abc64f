import { describe, expect, it } from 'vitest';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { dispositionRecord } from '#contracts/disposition-record.js';
import { templateHeaders } from '#contracts/template-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, galleryTemplates } from '#contracts/topics.js';
import type { Disposition, DispositionKind } from '#domain/disposition.js';
import type { ImageId, ModelId, Offset, SearchId, SubjectId } from '#domain/ids.js';
import { custodyImageName, probeName } from '#platform/image-store.js';
import type { BackedUpRecord } from './backup-contents.js';
import type { BackupStream } from './backup-manifest.js';
import { RestoreExclusions } from './restore-exclusions.js';
import { startsOf } from './restore-plan.js';
import { deleteLostProbes } from './restore-streams.js';

const at = (n: number): Offset => n as Offset;
const id = 'img-1' as ImageId;
const modelId = '0123456789abcdef' as ModelId;
const templates = galleryTemplates(modelId);

function logged(key: string, value: Buffer | null, rest: Partial<BackedUpRecord> = {}): BackedUpRecord {
  return { key: Buffer.from(key), value, headers: {}, timestampMs: 0, partition: 3, offset: at(0), ...rest };
}

function decision(kind: DispositionKind, sourceOffset: number): BackedUpRecord {
  const said: Disposition = {
    imageId: id,
    kind,
    since: '2026-01-01T00:00:00.000Z',
    authority: 'a',
    reason: 'r',
    sourceOffset: at(sourceOffset),
  };
  return logged(id, dispositionRecord(id, said, '/test').value as Buffer);
}

function template(sourceOffset: number): BackedUpRecord {
  const source = { sourceOffset: at(sourceOffset), acceptedAtMs: 0 };
  const metadata = { imageId: id, subjectId: 'p' as SubjectId };
  return logged(id, Buffer.alloc(8), { headers: templateHeaders({ modelId, metadata, source }, '/test') });
}

function decided(...records: readonly BackedUpRecord[]): RestoreExclusions {
  const exclusions = new RestoreExclusions('/test');
  for (const record of records) exclusions.decide(record);
  return exclusions;
}

describe('what is erased', () => {
  const exclusions = decided(decision('erased', 10));

  it('comes back as the tombstone of its template, and what was enrolled later as it was', () => {
    expect(exclusions.restorable(templates, template(10))).toMatchObject({ key: Buffer.from(id), value: null });
    const later = template(11);
    expect(exclusions.restorable(templates, later)).toBe(later);
  });

  it('comes back neither as a photograph that waits to be handled nor as an object', () => {
    const photograph = (offset: number): BackedUpRecord => logged(id, Buffer.from('jpeg'), { offset: at(offset) });
    expect(exclusions.restorable(CUSTODY_IMAGES, photograph(10))).toBeUndefined();
    expect(exclusions.restorable(CUSTODY_IMAGES, photograph(11))).toBeDefined();
    expect(exclusions.restorable(CUSTODY_IMAGES, logged(id, null))).toBeDefined();
    expect(exclusions.restorableObject(custodyImageName(id, at(10)))).toBe(false);
    expect(exclusions.restorableObject(custodyImageName(id, at(11)))).toBe(true);
    expect(exclusions.restorableObject(custodyImageName('img-2' as ImageId, at(1)))).toBe(true);
  });

  it('stays erased below a restriction that came later, and when that is lifted', () => {
    const restricted = decided(decision('erased', 10), decision('restricted', 40));
    const lifted = decided(decision('erased', 10), decision('restricted', 40), logged(id, null));
    for (const one of [restricted, lifted]) expect(one.restorable(templates, template(10))?.value).toBeNull();
    for (const one of [restricted, lifted]) expect(one.restorable(templates, template(12))?.value).not.toBeNull();
  });

  it('changes nothing in any other topic', () => {
    const outcome = logged(id, Buffer.from('{}'));
    expect(exclusions.restorable(CUSTODY_OUTCOMES, outcome)).toBe(outcome);
  });
});

describe('a correction that waits to be handled', () => {
  const correction = (own: number, correctionOf: number): BackedUpRecord => {
    const photographFrom = at(600);
    const image = { imageId: id, subjectId: 'p' as SubjectId, correctionOf: at(correctionOf), photographFrom };
    return logged(id, Buffer.from('jpeg'), {
      offset: at(own),
      headers: custodyImageHeaders(image, '/test', 'image/jpeg'),
    });
  };
  const image = (own: number): BackedUpRecord => logged(id, Buffer.from('jpeg'), { offset: at(own) });

  it('is restored as a photograph of its own, which looks for nothing that is no longer held', () => {
    const given = correction(700, 600);
    const restored = decided().restorable(CUSTODY_IMAGES, given)!;
    const { ce_correctionof: corrects, ...others } = given.headers;
    expect(corrects).toBe('600');
    expect(restored).toEqual({ ...given, headers: others });
    expect(restored.headers['ce_photographfrom']).toBe('600');
  });

  it('is left out when what it corrects was erased or replaced before it', () => {
    expect(decided(decision('erased', 600)).restorable(CUSTODY_IMAGES, correction(700, 600))).toBeUndefined();
    for (const between of [logged(id, null, { offset: at(650) }), image(650)]) {
      const exclusions = decided();
      expect(exclusions.restorable(CUSTODY_IMAGES, between)).toBe(between);
      expect(exclusions.restorable(CUSTODY_IMAGES, correction(700, 600))).toBeUndefined();
    }
  });

  it('is restored when what it corrects waits before it, or is a correction itself', () => {
    const exclusions = decided();
    for (const record of [image(600), correction(700, 600), correction(710, 700)]) {
      expect(exclusions.restorable(CUSTODY_IMAGES, record)?.offset).toBe(record.offset);
    }
  });
});

describe('a disposition that cannot be read', () => {
  it('keeps its image out of searches, is named, and stops nothing', () => {
    const exclusions = decided(logged(id, Buffer.from('{'), { offset: at(7) }), decision('erased', 10));
    expect(exclusions.unreadableDispositions).toEqual(['3/7']);
    expect(exclusions.restorable(templates, template(10))?.value).toBeNull();
    expect(exclusions.restorable(templates, template(11))?.value).not.toBeNull();
  });

  it('is none where a record has no key', () => {
    expect(decided(logged(id, Buffer.from('{'), { key: null })).unreadableDispositions).toEqual([]);
  });
});

describe('a probe', () => {
  const events = new RestoreExclusions('/test');
  for (const [key, value] of [
    ['open/1/a', '{}'],
    ['over/1/b', '{}'],
    ['over/1/b', null],
  ] as const) {
    events.noteEvent(logged(key, value === null ? null : Buffer.from(value)));
  }

  it('is restored with the events of its search, and not without them, nor when its retention was ended', () => {
    const restorable = ['open', 'over', 'lost'].filter((search) =>
      events.restorableObject(probeName(search as SearchId)),
    );
    expect(restorable).toEqual(['open']);
  });

  it('of a search that is lost goes from an image store that survived', async () => {
    const names = ['lost', 'open'].map((search) => probeName(search as SearchId));
    const deleted: string[] = [];
    const images = {
      names: async function* () {
        yield* names;
        await Promise.resolve();
      },
      delete: (name: string) => Promise.resolve(void deleted.push(name)),
    };
    expect(await deleteLostProbes(images, events)).toBe(1);
    expect(deleted).toEqual([names[0]]);
  });
});

describe('where a restored log begins', () => {
  const stream = (name: string): BackupStream => ({
    name,
    cutAt: '2026-01-01T00:00:00.000Z',
    ends: { 0: 100, 3: 200 },
    next: { 0: 100, 3: 200 },
    records: { 0: 40 },
    lastObject: null,
    done: true,
  });
  const exclusions = decided(decision('restricted', 5), decision('erased', 950));
  const beyond = (partition: number): Offset => exclusions.beyondDecisions(partition);

  it('is so that it ends where it ended', () => {
    expect(startsOf(stream(templates), beyond, 1_000)).toEqual({ 0: 60, 3: 200 });
  });

  it('is, of the images, beyond everything that a decision, or a photograph since, may be about', () => {
    expect(startsOf(stream(CUSTODY_IMAGES), beyond, 1_000)).toEqual({ 0: 1_100, 3: 1_951 });
  });
});
