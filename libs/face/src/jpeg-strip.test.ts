import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import './decode.js';
import { mayHaveExif, stripJpeg } from './jpeg-strip.js';

const SIDE = 96;

/** Something that compresses badly, so that its scans hold every kind of byte. */
function pixels(channels: 1 | 3): Buffer {
  let state = 7;
  return Buffer.from(
    Uint8Array.from({ length: SIDE * SIDE * channels }, (_, i) => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return ((state >> 16) % 64) + (i % 192);
    }),
  );
}

function picture(channels: 1 | 3 = 3): Sharp {
  return sharp(pixels(channels), { raw: { width: SIDE, height: SIDE, channels } });
}

const rawOf = (jpeg: Uint8Array): Promise<Buffer> => sharp(jpeg, { failOn: 'warning' }).raw().toBuffer();

describe('stripJpeg', () => {
  test.each([
    ['baseline', {}],
    ['progressive, several scans', { progressive: true }],
    ['without chroma subsampling', { chromaSubsampling: '4:4:4' }],
  ])('keeps every pixel of a %s JPEG, and nothing that was written about it', async (_, options) => {
    const exif = { IFD0: { Copyright: 'owner-of-the-phone' }, IFD3: { GPSLatitudeRef: 'N' } };
    const jpeg = await picture().withExif(exif).jpeg(options).toBuffer();
    const withComment = Buffer.concat([
      jpeg.subarray(0, 2),
      Buffer.from('fffe000873656372', 'hex'),
      Buffer.from('et'),
      jpeg.subarray(2),
    ]);
    const stripped = stripJpeg(Buffer.concat([withComment, Buffer.from('hidden behind the end')]))!;
    expect(await rawOf(stripped)).toEqual(await rawOf(jpeg));
    const text = stripped.toString('latin1');
    for (const secret of ['owner-of-the-phone', 'secret', 'hidden', 'Exif']) expect(text).not.toContain(secret);
    expect((await sharp(stripped).metadata()).exif).toBeUndefined();
  });

  test('keeps every pixel of a grey picture', async () => {
    const jpeg = await picture(1).jpeg().toBuffer();
    expect(await rawOf(stripJpeg(jpeg)!)).toEqual(await rawOf(jpeg));
  });

  test('leaves a picture to be encoded anew when its metadata decide its colours', async () => {
    const withProfile = await picture().withIccProfile('p3').jpeg().toBuffer();
    expect(stripJpeg(withProfile)).toBeUndefined();
    const cmyk = await picture().toColourspace('cmyk').jpeg().toBuffer();
    expect(stripJpeg(cmyk)).toBeUndefined();
  });

  test('gives up on what is not a whole JPEG', async () => {
    const jpeg = await picture().jpeg().toBuffer();
    expect(stripJpeg(jpeg.subarray(0, jpeg.length / 2))).toBeUndefined();
    expect(stripJpeg(Buffer.from('text'))).toBeUndefined();
    expect(stripJpeg(await picture().png().toBuffer())).toBeUndefined();
  });
});

describe('mayHaveExif', () => {
  test('is false for a JPEG that has none, baseline or progressive, whatever else is written about it', async () => {
    const plain = await picture().jpeg().toBuffer();
    expect(mayHaveExif(plain)).toBe(false);
    expect(mayHaveExif(await picture().jpeg({ progressive: true }).toBuffer())).toBe(false);
    const comment = Buffer.from('fffe0006abcdabcd', 'hex');
    expect(mayHaveExif(Buffer.concat([plain.subarray(0, 2), comment, plain.subarray(2)]))).toBe(false);
  });

  test('is true for one that says how it is to be turned, wherever it says so', async () => {
    const turned = await picture().withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect((await sharp(turned).metadata()).orientation).toBe(6);
    expect(mayHaveExif(turned)).toBe(true);
    const comment = Buffer.from('fffe0006abcdabcd', 'hex');
    expect(mayHaveExif(Buffer.concat([turned.subarray(0, 2), comment, turned.subarray(2)]))).toBe(true);
  });

  test.each([
    ['bytes between its segments', '00'],
    ['a fill byte', 'ff'],
    ['a marker without a length', 'ff01'],
    ['a second beginning', 'ffd8'],
  ])('is true for one with %s, of which a decoder may make what it likes', async (_, hex) => {
    const plain = await picture().jpeg().toBuffer();
    expect(mayHaveExif(Buffer.concat([plain.subarray(0, 2), Buffer.from(hex, 'hex'), plain.subarray(2)]))).toBe(true);
  });

  test('is true for what ends before its first scan', async () => {
    const plain = await picture().jpeg().toBuffer();
    expect(mayHaveExif(plain.subarray(0, 40))).toBe(true);
    expect(mayHaveExif(new Uint8Array(0))).toBe(true);
  });
});
