/** Images to enrol, from a folder or a CSV file. */
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { CsvError, parse as parseCsv } from 'csv-parse';
import type { CustodyImage } from '#contracts/custody-image.js';
import { parseImageFields } from '#contracts/image-fields.js';
import { Refusal } from '#domain/errors.js';
import { imageId, subjectId, type ImageId } from '#domain/ids.js';

export interface ImageToEnrol {
  readonly image: CustodyImage;
  readonly contentType: string;
  /** Where to look for it, in words. */
  readonly from?: string;
  readonly read: () => Promise<Buffer>;
}

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.tif': 'image/tiff',
  '.tiff': 'image/tiff',
  '.avif': 'image/avif',
  '.gif': 'image/gif',
};

/**
 * No two have the same imageId: the second would replace the first person's image without a word.
 *
 * @throws Refusal SOURCE_NOT_FOUND; while iterating, BAD_ROW with the line's number, BAD_IMAGE_ID and BAD_SUBJECT_ID with
 * the file's path, DUPLICATE_IMAGE_ID with both paths
 */
export async function imagesToEnrol(
  source: string,
  common: Partial<Pick<CustodyImage, 'face' | 'force'>>,
): Promise<AsyncIterable<ImageToEnrol>> {
  const info = await stat(source).catch(() => undefined);
  if (info === undefined) throw new Refusal('SOURCE_NOT_FOUND', `${source} is neither a folder nor a CSV file.`);
  return info.isDirectory() ? fromFolder(resolve(source), common) : fromCsv(resolve(source), common);
}

/** `<subject>/<image>.jpg`, as Labeled Faces in the Wild is named; an image beside the folders is its own subject. */
async function* fromFolder(
  folder: string,
  common: Partial<Pick<CustodyImage, 'face' | 'force'>>,
): AsyncIterable<ImageToEnrol> {
  const paths = new Map<ImageId, string>();
  const unique = (path: string, subject: string): ImageToEnrol => {
    const item = file(path, subject, common);
    const { imageId: id } = item.image;
    const other = paths.get(id);
    if (other !== undefined) {
      throw new Refusal(
        'DUPLICATE_IMAGE_ID',
        `${other} and ${path} would both be the image ${id}: name one differently, or list them in a CSV.`,
      );
    }
    paths.set(id, path);
    return item;
  };
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) {
      const names = (await readdir(join(folder, entry.name))).sort();
      for (const name of names) {
        if (isImage(name)) yield unique(join(folder, entry.name, name), entry.name);
      }
    } else if (isImage(entry.name)) {
      yield unique(join(folder, entry.name), stem(entry.name));
    }
  }
}

/** Columns: `imageId`, `subjectId`, `file` (relative to the CSV), and any other field of the HTTP contract. */
async function* fromCsv(
  path: string,
  common: Partial<Pick<CustodyImage, 'face' | 'force'>>,
): AsyncIterable<ImageToEnrol> {
  const badRow = (line: number, why: string, cause: Error): Refusal =>
    new Refusal('BAD_ROW', `Line ${line} of ${basename(path)}: ${why}`, undefined, { cause });
  const parser = createReadStream(path).pipe(
    parseCsv({ columns: true, skip_empty_lines: true, trim: true, bom: true, info: true }),
  );
  const rows = new Map<ImageId, { readonly line: number; readonly name: string }>();
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRow>) {
      const { imageId: id, file: name, ...fields } = record;
      try {
        if (name === undefined || name === '') throw new Refusal('BAD_METADATA', 'file is required.');
        const image = { ...common, ...parseImageFields(fields), imageId: imageId(id ?? '') };
        const other = rows.get(image.imageId);
        if (other !== undefined) {
          throw new Refusal(
            'DUPLICATE_IMAGE_ID',
            `${name} has the imageId ${image.imageId}, which ${other.name} on line ${other.line} has.`,
          );
        }
        rows.set(image.imageId, { line: info.lines, name });
        const at = resolve(dirname(path), name);
        yield {
          image,
          contentType: contentTypeOf(name),
          from: `line ${info.lines}: ${name}`,
          read: () => readFile(at),
        };
      } catch (error) {
        if (error instanceof Refusal) throw badRow(info.lines, error.publicText, error);
        throw error;
      }
    }
  } catch (error) {
    if (error instanceof CsvError) throw badRow(Number(error['lines']), error.message, error);
    throw error;
  }
}

/** A row by its columns' names, and the line of the file that it ends on, counted from 1. */
interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

function file(path: string, subject: string, common: Partial<Pick<CustodyImage, 'face' | 'force'>>): ImageToEnrol {
  const source = { contentType: contentTypeOf(path), from: path, read: () => readFile(path) };
  try {
    return { image: { ...common, imageId: imageId(stem(path)), subjectId: subjectId(subject) }, ...source };
  } catch (error) {
    if (error instanceof Refusal) {
      const text = `${path}: ${error.publicText}`;
      throw error.code === 'BAD_SUBJECT_ID' ? new Refusal('BAD_SUBJECT_ID', text) : new Refusal('BAD_IMAGE_ID', text);
    }
    throw error;
  }
}

/** By the name: what the bytes are is for ingest to find out. */
function isImage(name: string): boolean {
  return extname(name).toLowerCase() in CONTENT_TYPES;
}

function contentTypeOf(name: string): string {
  return CONTENT_TYPES[extname(name).toLowerCase()] ?? 'application/octet-stream';
}

function stem(name: string): string {
  return basename(name, extname(name));
}
