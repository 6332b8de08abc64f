import { describe, expect, test } from 'vitest';
import {
  SAMPLE_MANIFEST,
  modelPackForTests,
  samplePhotographsForTests,
  unlessOffline,
} from '#testkit/model-pack-for-tests.js';
import { decodeImage } from './decode.js';
import { FaceEngine } from './face-engine.js';
import { readSampleManifest } from './sample-manifest.js';

const manifest = await readSampleManifest(SAMPLE_MANIFEST);
const fetched = await unlessOffline(Promise.all([modelPackForTests(), samplePhotographsForTests()]));

test('the sample gallery enrols 21 faces of 21 people, and keeps the probe out of it', () => {
  expect(manifest.enrolled.length).toBe(21);
  expect(new Set(manifest.enrolled.map((face) => face.subjectId)).size).toBe(21);
  expect(manifest.enrolled.map((face) => face.imageId)).not.toContain(manifest.probe.imageId);
});

describe.skipIf(fetched === undefined)('with the photographs', () => {
  test(
    'the manifest lists every face that the default pack finds, under its own index',
    { timeout: 60_000 },
    async () => {
      const [pack, sample] = fetched!;
      const engine = await FaceEngine.open(pack, { concurrency: 1 });
      const listed = [...manifest.enrolled, manifest.probe];
      for (const photograph of Object.keys(manifest.photographs)) {
        const here = listed.filter((face) => face.photograph === photograph);
        const found = await engine.detect(await decodeImage(await sample.read(here[0]!)));
        expect(found.length, photograph).toBe(here.length);
        for (const { face, box } of here) {
          // Another processor may round a box differently by a pixel.
          for (const side of ['left', 'top', 'right', 'bottom'] as const) {
            expect(
              Math.abs(found[face]!.box[side] - box[side]),
              `${photograph} face ${face} ${side}`,
            ).toBeLessThanOrEqual(2);
          }
        }
      }
      await engine.close();
    },
  );
});
