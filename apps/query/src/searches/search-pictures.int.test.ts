import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, Offset, SearchId } from '#domain/ids.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { custodyImageName, probeName } from '#platform/image-store.js';
import { imageWithoutFace } from '#testkit/face-images-for-tests.js';
import { found, newId, operatorSearch, received, started } from './search-events-for-tests.js';
import { SearchPictures } from './search-pictures.js';
import { SearchesForTests } from './searches-for-tests.js';

const operator: Actor = { id: 'op-9', roles: ['operator'] };
const named: Actor = { id: 'io-1', roles: ['investigating-officer'] };
const officer: Actor = { id: 'officer-1', roles: ['officer'] };

let searches: SearchesForTests;
let images: FolderImageStore;
let pictures: SearchPictures;
let probe: Buffer;
const photograph = Buffer.from('a custody photograph');

beforeAll(async () => {
  searches = await SearchesForTests.open();
  const keyFile = join(searches.folder, 'key');
  await writeFile(keyFile, randomBytes(32).toString('base64'));
  images = await FolderImageStore.open(join(searches.folder, 'images'), keyFile);
  pictures = new SearchPictures(searches.view, images, searches.audit, searches.dispositionOf);
  probe = await imageWithoutFace();
});
afterAll(() => searches.close());

const imageOf = (id: SearchId, rank: number): ImageId => `${id}-${rank}` as ImageId;

/** With two candidates, of whom the first one's photograph is in the store. */
async function retrospective(): Promise<SearchId> {
  const id = newId();
  await images.put(probeName(id), probe);
  await images.put(custodyImageName(imageOf(id, 1), 0 as Offset), photograph);
  const probeSha256 = createHash('sha256').update(probe).digest('hex');
  await searches.publish(
    received(id, 0, 'op-1', probeSha256),
    started(id),
    found(id, 3, 'x', [imageOf(id, 1), imageOf(id, 2)]),
  );
  return id;
}

describe('the probe of a retrospective search', () => {
  it.each([operator, named])('is shown to %j, in the audit as a disclosure', async (actor) => {
    const id = await retrospective();
    expect(await pictures.probe(actor, id)).toEqual({ bytes: probe, contentType: 'image/jpeg' });
    expect(await searches.audited(id)).toMatchObject([
      { operation: 'disclosure', action: 'probe-shown', actor: actor.id, role: actor.roles[0], recipients: [actor.id] },
    ]);
  });

  it('is shown to no other, not even to another investigating officer', async () => {
    const id = await retrospective();
    for (const actor of [{ ...named, id: 'io-2' }, officer, { id: 'io-1', roles: ['officer'] } satisfies Actor]) {
      expect(await codeOfAsync(() => pictures.probe(actor, id)), JSON.stringify(actor)).toBe('NOT_YOUR_SEARCH');
    }
    expect(await codeOfAsync(() => pictures.probe(operator, newId()))).toBe('SEARCH_NOT_FOUND');
    expect(await searches.audited(id)).toEqual([]);
  });

  it('is gone when it is no longer kept, or another one is kept in its place', async () => {
    const id = await retrospective();
    await images.put(probeName(id), photograph);
    expect(await codeOfAsync(() => pictures.probe(operator, id))).toBe('PROBE_GONE');
    await images.delete(probeName(id));
    expect(await codeOfAsync(() => pictures.probe(operator, id))).toBe('PROBE_GONE');
  });
});

describe('the photograph of a candidate', () => {
  it('is shown to who may see the search, in the audit with whose it is', async () => {
    const id = await retrospective();
    expect(await pictures.candidate(named, id, 1)).toEqual({ bytes: photograph, contentType: 'image/jpeg' });
    expect(await searches.audited(id)).toMatchObject([
      {
        operation: 'disclosure',
        action: 'candidate-image-shown',
        imageIds: [imageOf(id, 1)],
        subjectIds: [`of-${imageOf(id, 1)}`],
        detail: { rank: 1 },
      },
    ]);
    expect(await codeOfAsync(() => pictures.candidate({ ...named, id: 'io-2' }, id, 1))).toBe('NOT_YOUR_SEARCH');
  });

  it('of an officer’s own search is shown to that officer; its probe never was kept', async () => {
    const id = newId();
    await images.put(custodyImageName(imageOf(id, 1), 0 as Offset), photograph);
    await searches.publish(operatorSearch(id, 0, officer.id, [imageOf(id, 1)]));
    expect((await pictures.candidate(officer, id, 1)).bytes).toEqual(photograph);
    expect(await codeOfAsync(() => pictures.candidate({ ...officer, id: 'officer-2' }, id, 1))).toBe('NOT_YOUR_SEARCH');
    expect(await codeOfAsync(() => pictures.candidate(operator, id, 1))).toBe('NOT_YOUR_SEARCH');
    expect(await codeOfAsync(() => pictures.probe(officer, id))).toBe('PROBE_GONE');
  });

  it('is not shown once it is withdrawn, by its disposition or in the search itself', async () => {
    const [id, other] = [await retrospective(), await retrospective()];
    searches.withdraw(imageOf(id, 1));
    expect(await codeOfAsync(() => pictures.candidate(operator, id, 1))).toBe('CANDIDATE_WITHDRAWN');
    await searches.publish({
      type: 'CANDIDATE_WITHDRAWN',
      searchId: other,
      version: 4,
      at: new Date().toISOString(),
      by: 'query',
      rank: 1,
      reason: 'restricted',
      investigatingOfficer: 'io-1',
    });
    expect(await codeOfAsync(() => pictures.candidate(operator, other, 1))).toBe('CANDIDATE_WITHDRAWN');
    expect([...(await searches.audited(id)), ...(await searches.audited(other))]).toEqual([]);
  });

  it('that was withdrawn while it was put on record does not leave', async () => {
    const id = await retrospective();
    const { audit } = searches;
    const slow = new SearchPictures(
      searches.view,
      images,
      // The last moment: the entry is in the log, the bytes are not out.
      {
        append: async (statements: Parameters<typeof audit.append>[0]) => {
          await audit.append(statements);
          searches.withdraw(imageOf(id, 1));
        },
      } as typeof audit,
      searches.dispositionOf,
    );
    expect(await codeOfAsync(() => slow.candidate(operator, id, 1))).toBe('CANDIDATE_WITHDRAWN');
  });

  it('is gone when a newer one took its place', async () => {
    const id = await retrospective();
    expect(await codeOfAsync(() => pictures.candidate(operator, id, 2))).toBe('CANDIDATE_IMAGE_GONE');
  });

  it('is the same one when only what is said about the image was corrected since', async () => {
    const id = await retrospective();
    await images.put(custodyImageName(imageOf(id, 2), 9 as Offset), photograph);
    // The search saw the version of record 1.
    const shownWhen = (photographFrom: number): Promise<string | undefined> => {
      const held = { sourceOffset: 9 as Offset, photographFrom: photographFrom as Offset } as HeldImage;
      const corrected = new SearchPictures(searches.view, images, searches.audit, searches.dispositionOf, () => held);
      return codeOfAsync(() => corrected.candidate(operator, id, 2));
    };
    expect(await shownWhen(1)).toBeUndefined();
    expect(await shownWhen(2)).toBe('CANDIDATE_IMAGE_GONE');
  });

  it('is not found at a rank that the search does not have', async () => {
    const id = await retrospective();
    expect(await codeOfAsync(() => pictures.candidate(operator, id, 3))).toBe('CANDIDATE_NOT_FOUND');
    const none = newId();
    await searches.publish(received(none));
    expect(await codeOfAsync(() => pictures.candidate(operator, none, 1))).toBe('CANDIDATE_NOT_FOUND');
  });
});
