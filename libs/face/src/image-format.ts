/** What bytes are, by their first few, never by a file's name or what its sender says. */
import { Refusal } from '#domain/errors.js';

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'tiff' | 'gif' | 'avif';

/** Far enough for every signature here. */
const HEAD_LENGTH = 64;

interface Unread {
  readonly name: string;
  readonly is: (head: string) => boolean;
  /** What the sender can do, when it is more than converting the file. */
  readonly remedy?: string;
}

/** An ISO media file lists its brands after its size and `ftyp`. */
const brands = (head: string): string => (head.slice(4, 8) === 'ftyp' ? head.slice(8, 48) : '');

/** What people send besides, so that the refusal can say its name; the first that fits. */
const UNREAD: readonly Unread[] = [
  {
    name: 'a HEIC photograph',
    // HEVC inside, for which no free decoder exists.
    is: (head) => /hei[cfmsx]|hev[cx]|mif1|msf1/.test(brands(head)),
    remedy: "save it as JPEG; an iPhone takes JPEG when Settings, Camera, Formats is 'Most Compatible'",
  },
  {
    name: 'a Canon CR3 raw photograph',
    is: (head) => brands(head).startsWith('crx '),
    remedy: 'export it as JPEG from the raw converter',
  },
  { name: 'a video', is: isVideo, remedy: 'send one frame of it as JPEG or PNG' },
  { name: 'a BMP image', is: (head) => head.startsWith('BM') },
  { name: 'a JPEG 2000 image', is: (head) => head.startsWith('\0\0\0\x0cjP  ') || head.startsWith('\xff\x4f\xff\x51') },
  { name: 'a JPEG XL image', is: (head) => head.startsWith('\xff\x0a') || head.startsWith('\0\0\0\x0cJXL ') },
  { name: 'an SVG drawing', is: (head) => /^(\xef\xbb\xbf)?\s*<(\?xml|svg|!DOCTYPE svg)/i.test(head) },
  { name: 'a PDF document', is: (head) => head.includes('%PDF-'), remedy: 'send the picture that is inside it' },
  { name: 'a Photoshop document', is: (head) => head.startsWith('8BPS') },
  { name: 'an icon', is: (head) => head.startsWith('\0\0\x01\0') },
  {
    name: 'a ZIP archive or Office document',
    is: (head) => head.startsWith('PK\x03\x04'),
    remedy: 'send the picture that is inside it',
  },
];

/** Undefined for what is not decoded here. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  const head = headOf(bytes);
  if (head.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') return 'webp';
  if (head.startsWith('II*\0') || head.startsWith('MM\0*')) return 'tiff';
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'gif';
  if (/avif|avis/.test(brands(head))) return 'avif';
  return undefined;
}

/** Names what the bytes are, when it is something that people send, and what to do. */
export function formatUnsupported(bytes: Uint8Array): Refusal {
  const head = headOf(bytes);
  const known = UNREAD.find(({ is }) => is(head));
  const read = 'JPEG, PNG, WebP, TIFF, GIF and AVIF images are read';
  return new Refusal(
    'IMAGE_FORMAT_UNSUPPORTED',
    known === undefined
      ? `The bytes are not an image that is read here: ${read}.`
      : `This is ${known.name}, which is not read here: ${known.remedy ?? 'save it as JPEG or PNG'} (${read}).`,
  );
}

function isVideo(head: string): boolean {
  const isoVideo = brands(head) !== '' && !/avi[fs]/.test(brands(head));
  const avi = head.startsWith('RIFF') && head.slice(8, 12) === 'AVI ';
  return isoVideo || avi || head.startsWith('\x1aE\xdf\xa3');
}

function headOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, HEAD_LENGTH)).toString('latin1');
}
