import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  modelPackForTests,
  samplePhotographsForTests,
  unlessOffline,
  YUNET_PACK_MANIFEST,
} from '#testkit/model-pack-for-tests.js';
import { comparePack, makeGoldens, readPackGoldens } from './pack-check.js';

const GOLDENS = join(import.meta.dirname, '../../../deploy/model-packs/goldens');
const fetched = await unlessOffline(
  Promise.all([modelPackForTests(), modelPackForTests(YUNET_PACK_MANIFEST), samplePhotographsForTests()]),
);

describe.runIf(fetched)('checking a pack', { timeout: 60_000 }, () => {
  if (fetched === undefined) return;
  const [defaultPack, otherPack, sample] = fetched;

  test.each([defaultPack, otherPack])('the pack of $modelId gives its golden values', async (pack) => {
    const goldens = await readPackGoldens(join(GOLDENS, `${pack.modelId}.json`));
    const parity = await comparePack(pack, goldens, await sample.readAll());
    expect(parity).toMatchObject({ photographs: 6, facesExpected: 22, facesFound: 22, facesMore: 0, holds: true });
    expect(parity.templateDifferenceMax).toBeLessThan(1e-4);
  });

  test('a pack that is fed another way does not, by far', async () => {
    const photographs = (await sample.readAll()).slice(0, 1);
    const goldens = await makeGoldens(defaultPack, photographs);
    expect((await comparePack(defaultPack, goldens, photographs)).templateDifferenceMax).toBe(0);
    const { manifest } = defaultPack;
    const swapped = { ...manifest, embedder: { ...manifest.embedder, colour: 'RGB' as const } };
    const parity = await comparePack({ ...defaultPack, manifest: swapped }, goldens, photographs);
    expect(parity).toMatchObject({ holds: false, facesFound: 3 });
    expect(parity.templateDifferenceMax).toBeGreaterThan(0.01);
  });

  test('a detector that misses a face, or sees one more, does not hold', async () => {
    const photographs = (await sample.readAll()).slice(0, 1);
    const goldens = await makeGoldens(defaultPack, photographs);
    const [[sha256, faces]] = Object.entries(goldens.photographs) as [[string, (typeof goldens.photographs)[string]]];
    const fewer = { ...goldens, photographs: { [sha256]: faces.slice(1) } };
    expect(await comparePack(defaultPack, fewer, photographs)).toMatchObject({ holds: false, facesMore: 1 });
    const elsewhere = { ...faces[0]!, box: { ...faces[0]!.box, left: faces[0]!.box.left - 9 } };
    const moved = { ...goldens, photographs: { [sha256]: [elsewhere, ...faces.slice(1)] } };
    expect(await comparePack(defaultPack, moved, photographs)).toMatchObject({ holds: false, facesFound: 2 });
  });

  test('golden values of another model, of other photographs, or no golden values: PACK_GOLDENS_INVALID', async () => {
    const goldens = await readPackGoldens(join(GOLDENS, `${defaultPack.modelId}.json`));
    const expected = { code: 'PACK_GOLDENS_INVALID' };
    await expect(comparePack(otherPack, goldens, await sample.readAll())).rejects.toMatchObject(expected);
    await expect(comparePack(defaultPack, goldens, [Buffer.from('other')])).rejects.toMatchObject(expected);
    const folder = await mkdtemp(join(tmpdir(), 'goldens-'));
    await writeFile(join(folder, 'goldens.json'), '{"modelId":"x"}');
    await expect(readPackGoldens(join(folder, 'goldens.json'))).rejects.toMatchObject(expected);
    await expect(readPackGoldens(join(folder, 'none.json'))).rejects.toMatchObject(expected);
    await rm(folder, { recursive: true });
  });
});
