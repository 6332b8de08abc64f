/** Good image files of every kind that is read, small enough for many thousands of them to be decoded. */
import sharp, { type Sharp } from 'sharp';

const WIDTH_PX = 160;

/** @param photographs with faces, of any kind that is read */
export async function imageFiles(photographs: readonly Buffer[]): Promise<readonly Buffer[]> {
  const files: Buffer[] = [];
  for (const photograph of photographs) {
    const png = await sharp(photograph).resize(WIDTH_PX).png().toBuffer();
    const picture = (): Sharp => sharp(png);
    const made = [
      picture().jpeg({ quality: 80 }),
      picture().jpeg({ progressive: true }),
      picture().toColourspace('b-w').jpeg(),
      picture().toColourspace('cmyk').jpeg(),
      picture()
        .withMetadata({ orientation: 6 })
        .withExif({ IFD0: { Make: 'Acme' } })
        .jpeg(),
      picture().withIccProfile('p3').jpeg(),
      picture().png(),
      picture().png({ palette: true }),
      picture().toColourspace('rgb16').png(),
      picture().ensureAlpha(0.5).png(),
      picture().png({ progressive: true }),
      picture().webp(),
      picture().webp({ lossless: true }),
      picture().ensureAlpha(0.5).webp({ alphaQuality: 50 }),
      picture().tiff(),
      picture().tiff({ compression: 'lzw' }),
      picture().tiff({ compression: 'deflate', predictor: 'horizontal', tile: true, tileWidth: 64, tileHeight: 64 }),
      picture().tiff({ compression: 'jpeg' }),
      picture().gif(),
      picture().avif({ effort: 0, quality: 40 }),
    ];
    for (const image of made) files.push(await image.toBuffer());
  }
  const frames = await Promise.all(
    photographs.slice(0, 3).map((photograph) => sharp(photograph).resize(WIDTH_PX, WIDTH_PX).png().toBuffer()),
  );
  files.push(
    await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer(),
  );
  files.push(
    await sharp(frames, { join: { animated: true } })
      .webp()
      .toBuffer(),
  );
  return files;
}
