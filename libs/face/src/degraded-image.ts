/** A photograph made worse in one measured way, to find out what a probe may be like and still be found. */
import { decodeImage, openPixels, type DecodeLimits } from './decode.js';

export type DegradationKind = 'small' | 'blurred' | 'dark' | 'compressed' | 'rotated';

/**
 * What is done, by how much: `small` the eyes' distance in pixels that is left (a photograph whose eyes are nearer
 * already stays as it is) · `blurred` the Gaussian's standard deviation as a share of the eyes' distance · `dark` the
 * factor of every sRGB value · `compressed` the JPEG quality, 1 to 100 · `rotated` degrees clockwise, the corners filled
 * with mid grey.
 */
export interface Degradation {
  readonly kind: DegradationKind;
  readonly level: number;
}

/** So that the encoding is no degradation of its own. */
const LOSSLESS = { compressionLevel: 1 } as const;
const CORNERS = { r: 127, g: 127, b: 127 };

/**
 * @param eyeDistancePx of the face that is meant, in the upright photograph: what sizes and blur are relative to
 * @returns an image file: JPEG when compressed, else PNG
 * @throws Refusal, Failure of decodeImage
 */
export async function degradeImage(
  bytes: Uint8Array,
  { kind, level }: Degradation,
  eyeDistancePx: number,
  limits?: DecodeLimits,
): Promise<Buffer> {
  const image = await decodeImage(bytes, limits);
  const pixels = openPixels(image);
  switch (kind) {
    case 'small': {
      const factor = Math.min(1, level / eyeDistancePx);
      const width = Math.max(1, Math.round(image.width * factor));
      const height = Math.max(1, Math.round(image.height * factor));
      return pixels.resize(width, height, { fit: 'fill', kernel: 'cubic' }).png(LOSSLESS).toBuffer();
    }
    case 'blurred':
      // Below .3 pixels a Gaussian is a single sample, and sharp refuses it.
      return pixels
        .blur(Math.max(0.3, level * eyeDistancePx))
        .png(LOSSLESS)
        .toBuffer();
    case 'dark':
      return pixels.linear(level, 0).png(LOSSLESS).toBuffer();
    case 'compressed':
      return pixels.jpeg({ quality: level }).toBuffer();
    case 'rotated':
      return pixels.rotate(level, { background: CORNERS }).png(LOSSLESS).toBuffer();
  }
}
