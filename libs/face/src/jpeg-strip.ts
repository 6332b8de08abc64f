/**
 * Takes everything out of a JPEG that is not the picture, without decoding it: no place, no camera, no owner's name, no
 * thumbnail, nothing behind its end. The picture itself stays as it was taken, bit for bit, which decoding and encoding
 * again would not do.
 *
 * ITU-T T.81, annex B: a file is a sequence of segments; a segment is a marker (FF xx), mostly with a length (two bytes,
 * itself included); after SOS come entropy-coded bytes, in which FF is followed by 00 or a restart marker.
 */

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const APP0 = 0xe0;
const APP1 = 0xe1;
const APP15 = 0xef;
const COM = 0xfe;
/** Number of components, at this place of a frame header (SOFn), after marker and length. */
const COMPONENTS_AT = 5;

const SOI_BYTES = Buffer.from([0xff, SOI]);
const EOI_BYTES = Buffer.from([0xff, EOI]);
/** JFIF 1.01, no density, no thumbnail: says that three components are YCbCr. */
const JFIF = Buffer.from([0xff, APP0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0]);

/**
 * @param bytes a JPEG that was decoded without complaint
 * @returns undefined when the metadata say how to read the picture (another colour space) or it is no plain JPEG
 */
export function stripJpeg(bytes: Uint8Array): Buffer | undefined {
  const jpeg = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (jpeg[0] !== 0xff || jpeg[1] !== SOI) return undefined;
  const kept: Buffer[] = [SOI_BYTES, JFIF];
  let at = 2;
  while (at + 4 <= jpeg.length) {
    if (jpeg[at] !== 0xff) return undefined;
    const marker = jpeg[at + 1]!;
    if (marker === 0xff) {
      at++; // a fill byte
      continue;
    }
    if (marker === EOI) return Buffer.concat([...kept, EOI_BYTES]);
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (end > jpeg.length) return undefined;
    const segment = jpeg.subarray(at, end);
    if (isFrame(marker) && ![1, 3].includes(segment[4 + COMPONENTS_AT]!)) return undefined;
    if (decidesColour(marker, segment)) return undefined;
    if (!(marker >= APP0 && marker <= APP15) && marker !== COM) kept.push(segment);
    at = end;
    if (marker !== SOS) continue;
    const scanEnd = endOfScan(jpeg, at);
    if (scanEnd === undefined) return undefined;
    kept.push(jpeg.subarray(at, scanEnd));
    at = scanEnd;
  }
  // EOI is the last two bytes of most files, too short for the loop.
  return jpeg[at] === 0xff && jpeg[at + 1] === EOI ? Buffer.concat([...kept, EOI_BYTES]) : undefined;
}

/**
 * Whether EXIF may be in it, which says how a picture is to be turned: in an APP1 segment, before the first scan. True
 * also for what is not plainly without.
 */
export function mayHaveExif(bytes: Uint8Array): boolean {
  const jpeg = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at + 4 <= jpeg.length && jpeg[at] === 0xff) {
    const marker = jpeg[at + 1]!;
    if (marker === SOS) return false;
    // Below SOF0, and from RST0 to EOI, no length follows; a decoder may make something of it.
    if (marker === APP1 || marker < 0xc0 || marker === 0xff || (marker >= 0xd0 && marker <= EOI)) return true;
    at += 2 + jpeg.readUInt16BE(at + 2);
  }
  return true;
}

/** SOF0 to SOF15, but DHT (C4), JPG (C8) and DAC (CC) lie between them. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** An ICC profile (APP2) or Adobe's note (APP14): without it, the same bytes would show other colours. */
function decidesColour(marker: number, segment: Buffer): boolean {
  const name = segment.toString('latin1', 4, 15);
  return (marker === 0xe2 && name.startsWith('ICC_PROFILE')) || (marker === 0xee && name.startsWith('Adobe'));
}

/** Where the next marker begins that is not part of the scan. */
function endOfScan(jpeg: Buffer, from: number): number | undefined {
  for (let at = jpeg.indexOf(0xff, from); at >= 0 && at + 1 < jpeg.length; at = jpeg.indexOf(0xff, at + 1)) {
    const next = jpeg[at + 1]!;
    const insideScan = next === 0 || next === 0xff || (next >= 0xd0 && next <= 0xd7);
    if (!insideScan) return at;
    if (next !== 0xff) at++;
  }
  return undefined;
}
