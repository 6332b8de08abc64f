/** A small part of `npm run test:fuzz`, always the same. */
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { CodedError } from '#domain/errors.js';
import { imageFiles } from '../../../test/fuzz/image-files.js';
import { spoil } from '../../../test/fuzz/spoil-image.js';
import { decodeImage } from './decode.js';

const RUNS = 300;

test('whatever is changed in an image file, its decoder gives pixels or a code', { timeout: 60_000 }, async () => {
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 50 };
  const picture = await sharp({ create: { width: 96, height: 96, channels: 3, background: 'black', noise } })
    .png()
    .toBuffer();
  const files = await imageFiles([picture, picture, picture]);
  let decoded = 0;
  for (let run = 0; run < RUNS; run++) {
    try {
      const { width, height, rgb } = await decodeImage(spoil(files, run).bytes);
      expect(rgb.length).toBe(3 * width * height);
      decoded++;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }
  expect(decoded).toBeGreaterThan(RUNS / 10);
  expect(decoded).toBeLessThan(RUNS / 2);
});
