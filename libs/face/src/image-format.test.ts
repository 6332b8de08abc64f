import { expect, test } from 'vitest';
import { formatUnsupported, sniffFormat } from './image-format.js';

const media = (brands: string): Buffer =>
  Buffer.concat([Buffer.from([0, 0, 0, 28]), Buffer.from(`ftyp${brands}`, 'latin1')]);

test.each<[string, Buffer]>([
  ['a HEIC photograph', media('heic\0\0\0\0mif1heic')],
  ['a HEIC photograph', media('mif1\0\0\0\0mif1heix')],
  ['a Canon CR3 raw photograph', media('crx \0\0\0\x01crx isom')],
  ['a video', media('isom\0\0\x02\0isomiso2mp41')],
  ['a video', Buffer.from('RIFF\x10\0\0\0AVI LIST', 'latin1')],
  ['a video', Buffer.from('\x1aE\xdf\xa3\x01', 'latin1')],
  ['a BMP image', Buffer.from('BM\x36\0\0\0\0\0\0\0', 'latin1')],
  ['a JPEG 2000 image', Buffer.from('\0\0\0\x0cjP  \r\n\x87\n', 'latin1')],
  ['a JPEG XL image', Buffer.from('\xff\x0a\xfa\x7f', 'latin1')],
  ['an SVG drawing', Buffer.from('\ufeff <?xml version="1.0"?><svg/>')],
  ['a PDF document', Buffer.from('%PDF-1.7\n')],
  ['a Photoshop document', Buffer.from('8BPS\0\x01', 'latin1')],
  ['a ZIP archive or Office document', Buffer.from('PK\x03\x04', 'latin1')],
])('refuses %s by its name, and says what to do', (name, bytes) => {
  expect(sniffFormat(bytes)).toBeUndefined();
  const refusal = formatUnsupported(bytes);
  expect(refusal.code).toBe('IMAGE_FORMAT_UNSUPPORTED');
  expect(refusal.publicText).toMatch(new RegExp(`^This is ${name}, which is not read here: .+ \\(JPEG,`));
});

test('says of an unknown file what is read', () => {
  expect(formatUnsupported(Buffer.from('hello')).publicText).toContain('JPEG, PNG, WebP, TIFF, GIF and AVIF');
});

test('an AVIF is one whatever other brands it lists', () => {
  expect(sniffFormat(media('avif\0\0\0\0avifmif1miafMA1B'))).toBe('avif');
  expect(sniffFormat(media('mif1\0\0\0\0mif1avif'))).toBe('avif');
});
