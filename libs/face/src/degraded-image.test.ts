import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import { degradeImage, type DegradationKind } from './degraded-image.js';

const SIDE_PX = 120;
const EYES_PX = 40;

/** Stripes 2 pixels wide of 40 and 200: much detail, mean 120. */
function photograph(): Promise<Buffer> {
  const rgb = Buffer.from(
    Array.from({ length: 3 * SIDE_PX * SIDE_PX }, (_, i) => ((Math.floor(i / 3) % SIDE_PX) % 4 < 2 ? 40 : 200)),
  );
  return sharp(rgb, { raw: { width: SIDE_PX, height: SIDE_PX, channels: 3 } })
    .png()
    .toBuffer();
}

async function degraded(kind: DegradationKind, level: number) {
  const bytes = await degradeImage(await photograph(), { kind, level }, EYES_PX);
  const { width, height, rgb, format } = await decodeImage(bytes);
  const mean = rgb.reduce((sum, value) => sum + value, 0) / rgb.length;
  const detail = Math.sqrt(rgb.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rgb.length);
  return { width, height, mean, detail, format, sizeBytes: bytes.length };
}

describe('a photograph', () => {
  it('made small has its eyes so many pixels apart, and is never made larger', async () => {
    expect(await degraded('small', 20)).toMatchObject({ width: 60, height: 60 });
    expect(await degraded('small', 80)).toMatchObject({ width: SIDE_PX, height: SIDE_PX });
  });

  it('blurred loses detail and no light, the more the wider', async () => {
    const [little, much] = [await degraded('blurred', 0.02), await degraded('blurred', 0.1)];
    expect(little.detail).toBeLessThan(75);
    expect(much.detail).toBeLessThan(little.detail / 2);
    expect(Math.abs(much.mean - 120)).toBeLessThan(2);
  });

  it('made dark has so much of every value', async () => {
    const { mean } = await degraded('dark', 0.25);
    expect(Math.abs(mean - 30)).toBeLessThan(1);
  });

  it('compressed is a JPEG, the smaller the lower the quality', async () => {
    const [good, poor] = [await degraded('compressed', 80), await degraded('compressed', 5)];
    expect(good.format).toBe('jpeg');
    expect(poor.sizeBytes).toBeLessThan(good.sizeBytes);
  });

  it('turned by a right angle keeps its pixels, turned otherwise grows corners', async () => {
    expect(await degraded('rotated', 90)).toMatchObject({ width: SIDE_PX, height: SIDE_PX });
    expect((await degraded('rotated', 45)).width).toBeGreaterThan(SIDE_PX * 1.3);
  });
});
