/**
 * Bytes that somebody sent → upright sRGB pixels, or a refusal. The only place that decodes images.
 *
 * Flow: size and magic number → header, with its limits → pixels. Only the six loaders named below are switched on in
 * the process: every other one is attack surface that no custody system needs.
 */
import sharp, { type Sharp } from 'sharp';
import { Failure, Refusal } from '#domain/errors.js';
import { giveBack } from './give-back.js';
import { formatUnsupported, sniffFormat, type ImageFormat } from './image-format.js';
import { mayHaveExif, stripJpeg } from './jpeg-strip.js';

export interface ImageHeader {
  /** By content, never by name. */
  readonly format: ImageFormat;
  readonly isUpright: boolean;
}

/** Upright pixels: EXIF orientation applied, sRGB, no alpha. */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  /** Interleaved RGB, rows from the top, length 3 · width · height. */
  readonly rgb: Uint8Array;
  /** What the bytes were. */
  readonly format: ImageFormat;
  /** Whether the bytes held it upright already, so that they show the same without their metadata. */
  readonly wasUpright: boolean;
}

export interface DecodeLimits {
  readonly sizeBytesMax: number;
  readonly pixelsMax: number;
  readonly sidePxMin: number;
  /** Frames of an animation, pages of a document. */
  readonly framesMax: number;
}

export const DECODE_LIMITS: DecodeLimits = {
  /** Far above what the edges take (8 MiB): for whoever runs the pipeline over a folder of a camera's TIFFs. */
  sizeBytesMax: 20 * 1024 * 1024,
  /** 150 MB of pixels: above every camera in use, and a few in flight still fit in a small container. */
  pixelsMax: 50_000_000,
  /** The detector sees 320 x 240; a face in a smaller picture than this has eyes fewer than 12 px apart: guesswork. */
  sidePxMin: 32,
  /** Only the first is decoded; a file of thousands is no photograph, and its index alone costs time and memory. */
  framesMax: 100,
};

/** EXIF's orientation of a picture that needs no turning. */
const UPRIGHT = 1;

/** A picture that needs longer is an attack on the decoder (a progressive JPEG with thousands of scans) or a sick host. */
const DECODE_TIME_LIMIT_SECONDS = 30;

/** Transparent pixels become mid grey, which the networks' normalisation turns into nearly zero. */
const BACKGROUND = { r: 127, g: 127, b: 127 };

/** Nothing visible is lost, and the operator compares faces in it. */
const REFERENCE_JPEG_QUALITY = 92;

/**
 * Warnings of the JPEG decoder after which the pixels are nevertheless whole: some makes of phone write these. Every
 * other warning means that part of the picture was invented.
 */
const HARMLESS_WARNING =
  /^VipsJpeg: (Invalid SOS parameters for sequential JPEG|Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9)$/;

sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Tiff', 'Heif', 'Nsgif'].map((loader) => `VipsForeignLoad${loader}Buffer`),
});
// Parallelism comes from the pictures in flight; a cache of operations would keep probes in memory.
sharp.concurrency(1);
sharp.cache(false);

/**
 * What can be said without decoding, at almost no cost: for an edge that refuses at once and leaves the rest to a queue.
 *
 * @throws Refusal IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_TOO_SMALL, IMAGE_FORMAT_UNSUPPORTED, IMAGE_UNREADABLE
 */
export async function inspectImage(bytes: Uint8Array, limits: DecodeLimits = DECODE_LIMITS): Promise<ImageHeader> {
  const format = checkBytes(bytes, limits);
  return { format, isUpright: await checkHeader(bytes, limits) };
}

/** Of size and magic number. */
function checkBytes(bytes: Uint8Array, limits: DecodeLimits): ImageFormat {
  if (bytes.byteLength === 0) throw new Refusal('IMAGE_EMPTY', 'The image is empty.');
  if (bytes.byteLength > limits.sizeBytesMax) {
    throw new Refusal('IMAGE_TOO_LARGE', `The image is larger than ${limits.sizeBytesMax} bytes.`);
  }
  const format = sniffFormat(bytes);
  if (format === undefined) {
    throw formatUnsupported(bytes);
  }
  return format;
}

/**
 * @param bytes one image file; of several pages only the first is read
 * @throws Refusal as {@link inspectImage}
 * @throws Failure IMAGE_DECODE_TIMEOUT
 */
export async function decodeImage(bytes: Uint8Array, limits: DecodeLimits = DECODE_LIMITS): Promise<DecodedImage> {
  const format = checkBytes(bytes, limits);
  // Nothing but EXIF says that a JPEG is to be turned. Without it the pixels tell all that the header would, and the
  // header is not read twice; what it would refuse is refused all the same.
  const isUpright = (format === 'jpeg' && !mayHaveExif(bytes)) || (await checkHeader(bytes, limits));
  const header = { format, isUpright };
  try {
    const image = await decodePixels(bytes, header, limits, 'warning');
    checkSize(image, limits);
    return image;
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    await checkHeader(bytes, limits);
    if (!(thrown instanceof Error) || !hasOnlyHarmlessWarnings(thrown)) throw unreadable(thrown);
    return decodePixels(bytes, header, limits, 'error').catch((again: unknown) => {
      throw unreadable(again);
    });
  }
}

/**
 * The picture that an operator is shown: upright and without metadata (no place, no camera, no owner's name). A JPEG that
 * is upright keeps its own bytes, since every encoding blurs what an operator compares.
 *
 * @param bytes what the image was decoded from
 */
export async function encodeUprightJpeg(image: DecodedImage, bytes: Uint8Array): Promise<Buffer> {
  const stripped = strippedJpeg(image, bytes);
  if (stripped !== undefined) return stripped;
  return openPixels(image)
    .jpeg({
      quality: REFERENCE_JPEG_QUALITY,
      chromaSubsampling: '4:4:4',
      // A second pass over the picture would save 5 % of the disk for a third more time.
      optimiseCoding: false,
    })
    .toBuffer();
}

/**
 * The same without encoding: what `stripJpeg` leaves of a JPEG that is upright.
 *
 * @returns undefined when that would not show the same picture
 */
export function strippedJpeg(image: DecodedImage, bytes: Uint8Array): Buffer | undefined {
  return image.format === 'jpeg' && image.wasUpright ? stripJpeg(bytes) : undefined;
}

/** A native pipeline over pixels that are already decoded; they are not copied. */
export function openPixels(image: DecodedImage): Sharp {
  return sharp(image.rgb, {
    raw: { width: image.width, height: image.height, channels: 3 },
    limitInputPixels: false, // was checked when it was decoded
  });
}

/** @returns whether the picture is upright as it is stored */
async function checkHeader(bytes: Uint8Array, limits: DecodeLimits): Promise<boolean> {
  const {
    width,
    height,
    orientation,
    pages = 1,
  } = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((thrown: unknown) => {
      throw unreadable(thrown);
    });
  checkSize({ width, height }, limits);
  if (pages > limits.framesMax) {
    throw new Refusal('IMAGE_TOO_LARGE', `The image has ${pages} frames or pages; the limit is ${limits.framesMax}.`);
  }
  return (orientation ?? UPRIGHT) === UPRIGHT;
}

function checkSize({ width, height }: { width: number; height: number }, limits: DecodeLimits): void {
  if (width * height > limits.pixelsMax) {
    throw new Refusal(
      'IMAGE_TOO_LARGE',
      `The image has ${width} x ${height} pixels; the limit is ${limits.pixelsMax}.`,
    );
  }
  if (Math.min(width, height) < limits.sidePxMin) {
    throw new Refusal(
      'IMAGE_TOO_SMALL',
      `The image has ${width} x ${height} pixels; each side needs ${limits.sidePxMin}.`,
    );
  }
}

async function decodePixels(
  bytes: Uint8Array,
  { format, isUpright }: ImageHeader,
  limits: DecodeLimits,
  failOn: 'warning' | 'error',
): Promise<DecodedImage> {
  const { data, info } = await sharp(bytes, { failOn, limitInputPixels: limits.pixelsMax })
    .autoOrient()
    .flatten({ background: BACKGROUND })
    .toColourspace('srgb')
    .timeout({ seconds: DECODE_TIME_LIMIT_SECONDS })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const rgb = info.channels === 3 ? data : greyToRgb(data, info.channels);
  if (rgb !== data) giveBack(data);
  return { width: info.width, height: info.height, rgb, format, wasUpright: isUpright };
}

/** One channel, or one with an alpha that is ignored, to three. */
function greyToRgb(grey: Uint8Array, channels: number): Uint8Array {
  const pixels = grey.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) rgb.fill(grey[i * channels]!, i * 3, i * 3 + 3);
  return rgb;
}

function hasOnlyHarmlessWarnings(thrown: Error): boolean {
  return thrown.message.split('\n').every((line) => HARMLESS_WARNING.test(line.trim()));
}

function unreadable(thrown: unknown): Refusal | Failure {
  if (thrown instanceof Error && thrown.message.startsWith('timeout')) {
    return new Failure('IMAGE_DECODE_TIMEOUT', 'The image took too long to decode.', true, { cause: thrown });
  }
  return new Refusal('IMAGE_UNREADABLE', 'The image is truncated or corrupt.', undefined, { cause: thrown });
}
