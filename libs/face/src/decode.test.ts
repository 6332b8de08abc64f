import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodeUprightJpeg } from './decode.js';
import { sniffFormat } from './image-format.js';

const WIDTH = 64;
const HEIGHT = 48;

/**
 * Red in the top left quarter, elsewhere grey noise of 80 to 199, the same in every run, so that truncation and turning
 * show.
 */
const pixels = Buffer.alloc(3 * WIDTH * HEIGHT);
for (let y = 0, noise = 1; y < HEIGHT; y++) {
  for (let x = 0; x < WIDTH; x++) {
    noise = (noise * 48_271) % 0x7fffffff; // Park and Miller's generator
    const grey = 80 + (noise % 120);
    const isRed = x < WIDTH / 2 && y < HEIGHT / 2;
    pixels.set(isRed ? [255, 0, 0] : [grey, grey, grey], 3 * (y * WIDTH + x));
  }
}
const picture = await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
  .png()
  .toBuffer();

const encoded = {
  jpeg: await sharp(picture).jpeg({ quality: 95 }).toBuffer(),
  'progressive jpeg': await sharp(picture).jpeg({ progressive: true, quality: 95 }).toBuffer(),
  png: picture,
  webp: await sharp(picture).webp().toBuffer(),
  tiff: await sharp(picture).tiff().toBuffer(),
  gif: await sharp(picture).gif().toBuffer(),
  avif: await sharp(picture).avif({ quality: 90 }).toBuffer(),
};

function pixelAt(image: { width: number; rgb: Uint8Array }, x: number, y: number): number[] {
  return [...image.rgb.subarray(3 * (y * image.width + x), 3 * (y * image.width + x) + 3)];
}

describe('what is decoded', () => {
  test.each(Object.entries(encoded))('%s becomes upright RGB', async (name, bytes) => {
    const format = name.replace('progressive ', '');
    const image = await decodeImage(bytes);
    expect({ width: image.width, height: image.height, format: image.format }).toEqual({
      width: 64,
      height: 48,
      format,
    });
    expect(image.rgb.length).toBe(3 * 64 * 48);
    const [red, green, blue] = pixelAt(image, 10, 10);
    expect(red).toBeGreaterThan(225);
    expect(green).toBeLessThan(30);
    expect(blue).toBeLessThan(30);
  });

  test('applies the EXIF orientation', async () => {
    const turned = await decodeImage(await sharp(picture).withMetadata({ orientation: 6 }).jpeg().toBuffer());
    expect([turned.width, turned.height]).toEqual([48, 64]);
    expect(pixelAt(turned, 40, 10)[1]).toBeLessThan(40); // the red corner is at the right now
    expect(pixelAt(turned, 10, 50)[1]).toBeGreaterThan(40);
  });

  test.each([
    [1, 'top left'],
    [2, 'top right'],
    [3, 'bottom right'],
    [4, 'bottom left'],
    [5, 'top left'],
    [6, 'top right'],
    [7, 'bottom right'],
    [8, 'bottom left'],
  ])(
    'EXIF orientation %i shows the red corner at the %s, of a picture that is not turned again',
    async (orientation, corner) => {
      const { width, height, rgb, wasUpright } = await decodeImage(
        await sharp(picture).withMetadata({ orientation }).jpeg().toBuffer(),
      );
      expect([width, height]).toEqual(orientation < 5 ? [64, 48] : [48, 64]);
      expect(wasUpright).toBe(orientation === 1);
      const x = corner.endsWith('left') ? 8 : width - 8;
      const y = corner.startsWith('top') ? 8 : height - 8;
      for (const [px, py] of [
        [8, 8],
        [width - 8, 8],
        [8, height - 8],
        [width - 8, height - 8],
      ] as const) {
        const isRed = pixelAt({ width, rgb }, px, py)[0]! > 200 && pixelAt({ width, rgb }, px, py)[1]! < 40;
        expect(isRed, `${px},${py}`).toBe(px === x && py === y);
      }
    },
  );

  test('colours of another profile become those of sRGB', async () => {
    const green = { create: { width: 64, height: 48, channels: 3 as const, background: { r: 40, g: 200, b: 60 } } };
    const inP3 = await sharp(green).withIccProfile('p3').png().toBuffer();
    const { data } = await sharp(inP3, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
    // The same green has other numbers there, or this would test nothing.
    expect(Math.abs(data[0]! - 40)).toBeGreaterThan(20);
    const [red, , blue] = pixelAt(await decodeImage(inP3), 5, 5);
    expect(Math.abs(red! - 40)).toBeLessThan(6);
    expect(Math.abs(blue! - 60)).toBeLessThan(6);
  });

  test('grey becomes three equal channels', async () => {
    const grey = await sharp(picture).toColourspace('b-w').png().toBuffer();
    expect((await sharp(grey).metadata()).channels).toBe(1);
    const image = await decodeImage(grey);
    expect(image.rgb.length).toBe(3 * 64 * 48);
    const [red, green, blue] = pixelAt(image, 50, 40);
    expect([green, blue]).toEqual([red, red]);
  });

  test('16 bits, CMYK and an alpha channel become 8-bit RGB', async () => {
    const deep = await decodeImage(await sharp(picture).toColourspace('rgb16').png().toBuffer());
    expect(pixelAt(deep, 10, 10)).toEqual([255, 0, 0]);
    const printed = await decodeImage(await sharp(picture).toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer());
    expect(pixelAt(printed, 10, 10)[0]).toBeGreaterThan(200);
    const clear = {
      create: { width: 64, height: 48, channels: 4 as const, background: { r: 9, g: 9, b: 9, alpha: 0 } },
    };
    expect(pixelAt(await decodeImage(await sharp(clear).png().toBuffer()), 5, 5)).toEqual([127, 127, 127]);
  });

  test('of several pages only the first is read', async () => {
    const frame = (background: string) =>
      sharp({ create: { width: 64, height: 48, channels: 3, background } })
        .png()
        .toBuffer();
    const frames = [await frame('#ff0000'), await frame('#0000ff')];
    const animation = await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer();
    expect((await sharp(animation).metadata()).pages).toBe(2);
    const image = await decodeImage(animation);
    expect(image.height).toBe(48);
    expect(pixelAt(image, 30, 30)).toEqual([255, 0, 0]);
  });

  test('accepts the harmless fault of some phones: a wrong end of the spectral selection', async () => {
    const bytes = Buffer.from(encoded.jpeg);
    const scan = bytes.indexOf(Buffer.from([0xff, 0xda]));
    bytes[scan + 2 + bytes.readUInt16BE(scan + 2) - 2] = 0;
    const strict = sharp(bytes, { failOn: 'warning' }).raw().toBuffer();
    await expect(strict).rejects.toThrow('Invalid SOS parameters');
    expect((await decodeImage(bytes)).rgb).toEqual((await decodeImage(encoded.jpeg)).rgb);
  });
});

describe('what is refused', () => {
  test('no bytes, with IMAGE_EMPTY', async () => {
    await expect(decodeImage(new Uint8Array(0))).rejects.toMatchObject({ code: 'IMAGE_EMPTY' });
  });

  test.each([
    ['text', Buffer.from('this is not a photograph.jpg')],
    [
      'SVG',
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>'),
    ],
    ['PDF', Buffer.from('%PDF-1.7\n1 0 obj')],
    ['PPM', Buffer.from('P6 2 2 255\n123456789012')],
    ['HEIC', Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic')])],
  ])('%s, with IMAGE_FORMAT_UNSUPPORTED', async (_name, bytes) => {
    await expect(decodeImage(bytes)).rejects.toMatchObject({ code: 'IMAGE_FORMAT_UNSUPPORTED' });
  });

  test('a text that begins as an SVG is never drawn, under whatever name', async () => {
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>',
    );
    await expect(sharp(svg).metadata()).rejects.toThrow();
    for (const head of [encoded.png.subarray(0, 8), encoded.jpeg.subarray(0, 4), encoded.tiff.subarray(0, 8)]) {
      await expect(decodeImage(Buffer.concat([head, svg]))).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
    }
  });

  test('an animation of more than a hundred frames, with IMAGE_TOO_LARGE', async () => {
    const frame = await sharp({ create: { width: 32, height: 32, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const other = await sharp({ create: { width: 32, height: 32, channels: 3, background: 'blue' } })
      .png()
      .toBuffer();
    const frames = (count: number) =>
      sharp(
        Array.from({ length: count }, (_, i) => (i % 2 === 0 ? frame : other)),
        { join: { animated: true } },
      )
        .gif()
        .toBuffer();
    await expect(decodeImage(await frames(101))).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    expect(await decodeImage(await frames(100))).toMatchObject({ height: 32 });
  });

  test('a bomb: 120 megapixels of nothing in a small file, with IMAGE_TOO_LARGE and without its memory', async () => {
    const bomb = await sharp({ create: { width: 12_000, height: 10_000, channels: 3, background: 'black' } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    expect(bomb.length).toBeLessThan(5_000_000);
    const before = process.memoryUsage.rss();
    await expect(decodeImage(bomb)).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 2 ** 20);
  });

  test.each(Object.entries(encoded))(
    'a truncated %s, wherever it was cut, with IMAGE_UNREADABLE',
    async (_format, bytes) => {
      for (const share of [0.2, 0.5, 0.75, 0.95]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        if (sniffFormat(cut) === undefined) continue; // so short that it is no image at all
        await expect(decodeImage(cut), `${share}`).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
      }
    },
  );

  test('a JPEG without its last two bytes, with IMAGE_UNREADABLE', async () => {
    await expect(decodeImage(encoded.jpeg.subarray(0, -2))).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
  });

  test('a JPEG with damage in the middle, with IMAGE_UNREADABLE', async () => {
    const bytes = Buffer.from(encoded.jpeg);
    const middle = Math.floor(bytes.length / 2);
    for (let i = 0; i < 40; i++) bytes[middle + i] = i % 3 === 0 ? 0x01 : 0xff;
    await expect(decodeImage(bytes)).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
  });

  test('more bytes than the limit, with IMAGE_TOO_LARGE', async () => {
    const limits = { sizeBytesMax: 100, pixelsMax: 1e6, sidePxMin: 1, framesMax: 1 };
    await expect(decodeImage(encoded.png, limits)).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  });

  test('a header that promises 3.6 gigapixels, with IMAGE_TOO_LARGE and without decoding', async () => {
    const bomb = Buffer.from(picture);
    bomb.writeUInt32BE(60_000, 16); // PNG: IHDR width and height
    bomb.writeUInt32BE(60_000, 20);
    bomb.writeUInt32BE(crc32OfHeader(bomb), 29);
    await expect(decodeImage(bomb)).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  });

  test('a side under the limit, with IMAGE_TOO_SMALL', async () => {
    const sliver = await sharp(picture).resize(31, 48, { fit: 'fill' }).png().toBuffer();
    await expect(decodeImage(sliver)).rejects.toMatchObject({ code: 'IMAGE_TOO_SMALL' });
  });
});

test('the picture for operators is upright, whole in colour, and has no metadata', async () => {
  const source = await sharp(picture)
    .withExif({ IFD0: { Make: 'Acme' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  expect(source.includes('Acme')).toBe(true);
  const stored = await encodeUprightJpeg(await decodeImage(source), source);
  const { width, height, exif, icc, orientation, chromaSubsampling } = await sharp(stored).metadata();
  expect({ width, height, exif, icc, orientation }).toEqual({ width: 48, height: 64 });
  expect(chromaSubsampling).toBe('4:4:4');
  expect(stored.includes('Acme')).toBe(false);
});

function crc32OfHeader(png: Buffer): number {
  let crc = ~0;
  for (const byte of png.subarray(12, 29)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
