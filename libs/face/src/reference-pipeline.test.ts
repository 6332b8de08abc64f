import { expect, test } from 'vitest';
import { modelPackFolderForTests, samplePhotographsForTests, unlessOffline } from '#testkit/model-pack-for-tests.js';
import { ReferencePipeline } from '../../../test/performance/reference/pipeline.js';
import { FaceEngine } from './face-engine.js';
import { loadModelPack } from './model-pack.js';

const fetched = await unlessOffline(Promise.all([modelPackFolderForTests(), samplePhotographsForTests()]));

test.skipIf(fetched === undefined)(
  'the benches compare the engine with a pipeline that gives the same templates',
  async () => {
    const [folder, sample] = fetched!;
    const reference = await ReferencePipeline.open(folder);
    const engine = await FaceEngine.open(await loadModelPack(folder), { concurrency: 1 });
    const faces = [sample.manifest.probe, ...sample.manifest.enrolled];
    const gallery = new Float32Array(faces.length * engine.dimension);
    for (const [index, face] of faces.entries()) {
      const bytes = await sample.read(face);
      const { template } = (await engine.process(bytes, face.face)).embedded;
      const same = (await reference.run(bytes, face.face)).template;
      expect(Math.max(...template.map((value, i) => Math.abs(value - same[i]!))), face.imageId).toBeLessThan(1e-4);
      gallery.set(template, index * engine.dimension);
    }
    const bytes = await sample.read(faces[0]!);
    const central = (await engine.process(bytes, 'central')).embedded.template;
    const { template } = await reference.run(bytes, 'central');
    expect(Math.max(...central.map((value, i) => Math.abs(value - template[i]!)))).toBeLessThan(1e-4);

    const probe = gallery.subarray(0, engine.dimension);
    const found = reference.search(probe, gallery, 5);
    const scores = faces.map((_, index) =>
      probe.reduce((sum, value, d) => sum + value * gallery[index * engine.dimension + d]!, 0),
    );
    const expected = scores
      .map((score, index) => ({ index, score }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 5);
    expect(found.map(({ index }) => index)).toEqual(expected.map(({ index }) => index));
    expect(faces[found[1]!.index]!.subjectId).toBe(sample.manifest.probe.subjectId);
    await reference.close();
    await engine.close();
  },
  60_000,
);
