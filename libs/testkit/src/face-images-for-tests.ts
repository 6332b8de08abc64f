/** Many different images of few people: the sample's faces, cut out and saved again as cameras and systems would. */
import { join } from 'node:path';
import { mkdir, writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';

/** How much of a face's box is added on each side, so that the whole head is there. */
const MARGIN = 0.35;
/** Heights and JPEG qualities, all good enough to be found in. */
const HEIGHTS_PX = [320, 280, 240, 360, 300, 260, 400, 340];
const QUALITIES = [92, 75, 85, 60, 95, 70, 80, 65];

/** One image with this face in the middle; another `variant`, another size and quality. */
export async function faceImage(sample: SamplePhotographs, face: SampleFace, variant = 0): Promise<Buffer> {
  const photograph = sharp(await sample.read(face));
  const { width, height } = await photograph.metadata();
  const { left, top, right, bottom } = face.box;
  const marginX = (right - left) * MARGIN;
  const marginY = (bottom - top) * MARGIN;
  const from = { x: Math.max(0, Math.round(left - marginX)), y: Math.max(0, Math.round(top - marginY)) };
  return photograph
    .extract({
      left: from.x,
      top: from.y,
      width: Math.min(width, Math.round(right + marginX)) - from.x,
      height: Math.min(height, Math.round(bottom + marginY)) - from.y,
    })
    .resize({ height: HEIGHTS_PX[variant % HEIGHTS_PX.length]! })
    .jpeg({ quality: QUALITIES[variant % QUALITIES.length]! })
    .toBuffer();
}

/** A photograph of nothing. */
export function imageWithoutFace(): Promise<Buffer> {
  return sharp({ create: { width: 640, height: 480, channels: 3, background: { r: 90, g: 130, b: 90 } } })
    .jpeg()
    .toBuffer();
}

/** Images that cannot be used, by the code that says why. */
export async function unusableImages(face: Buffer, group: Buffer): Promise<Readonly<Record<string, Buffer>>> {
  return {
    NO_FACE: await imageWithoutFace(),
    MULTIPLE_FACES: group,
    IMAGE_EMPTY: Buffer.alloc(0),
    IMAGE_UNREADABLE: face.subarray(0, face.length >> 1),
    IMAGE_FORMAT_UNSUPPORTED: Buffer.from('This is a text file, whatever its name says.\n'.repeat(20)),
  };
}

/** `<folder>/<subject>/<image>.jpg`, so many variants of each face. @returns imageIds */
export async function writeFaceFolder(
  sample: SamplePhotographs,
  folder: string,
  variants: number,
): Promise<readonly string[]> {
  const imageIds: string[] = [];
  for (const face of [...sample.manifest.enrolled, sample.manifest.probe]) {
    await mkdir(join(folder, face.subjectId), { recursive: true });
    for (let variant = 0; variant < variants; variant++) {
      const imageId = `${face.imageId}-v${variant}`;
      await writeFile(join(folder, face.subjectId, `${imageId}.jpg`), await faceImage(sample, face, variant));
      imageIds.push(imageId);
    }
  }
  return imageIds;
}
