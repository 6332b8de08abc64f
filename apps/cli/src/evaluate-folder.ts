/** What is evaluated: a folder laid out as Labeled Faces in the Wild, and the groups that its people belong to. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { CsvError, parse as parseCsv } from 'csv-parse/sync';
import { Refusal } from '#domain/errors.js';

export interface SubjectImages {
  readonly subject: string;
  /** Absolute, sorted by name. At least one. */
  readonly images: readonly string[];
}

/** By the name: what the bytes are is for the decoder to find out. */
const IMAGE_EXTENSIONS = new Set(['.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff', '.avif', '.gif', '.bmp', '.heic']);

/** Columns of a file of groups that name the image or the person; every other one is an attribute. */
const NAMING_COLUMNS = ['image', 'subject', 'identity'] as const;

/**
 * `<subject>/<image>`, subjects and images in the order of their names.
 *
 * @throws Refusal SOURCE_NOT_FOUND
 */
export async function readSubjects(folder: string): Promise<SubjectImages[]> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new Refusal('SOURCE_NOT_FOUND', `${folder} is not a folder.`);
  const root = resolve(folder);
  const entries = await readdir(root, { withFileTypes: true });
  const subjects = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const found: SubjectImages[] = [];
  for (const subject of subjects.sort()) {
    const names = (await readdir(join(root, subject))).filter(isImage).sort();
    if (names.length > 0) found.push({ subject, images: names.map((name) => join(root, subject, name)) });
  }
  return found;
}

/**
 * The groups of people by attribute, from a CSV with a header: a column `subject` or `identity` with the name of the
 * person's folder, or `image` with `<subject>/<image>`; every other column is an attribute. An empty cell is not known.
 *
 * @returns by subject, then by attribute
 * @throws Refusal SOURCE_NOT_FOUND; BAD_ROW with the line for a row that names nobody, or another group of one person
 */
export async function readGroups(file: string): Promise<Map<string, Record<string, string>>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Refusal('SOURCE_NOT_FOUND', `${file} cannot be read.`, undefined, { cause });
  });
  const bad = (line: number, why: string): Refusal =>
    new Refusal('BAD_ROW', `Line ${line} of ${basename(file)}: ${why}`);
  const groups = new Map<string, Record<string, string>>();
  for (const { record, info } of parseRows(text, bad)) {
    const subject = subjectOf(record);
    if (subject === undefined) throw bad(info.lines, 'no subject, identity or image.');
    const own = groups.get(subject) ?? {};
    groups.set(subject, own);
    for (const [attribute, group] of Object.entries(record)) {
      if ((NAMING_COLUMNS as readonly string[]).includes(attribute) || group === '') continue;
      const before = own[attribute];
      if (before !== undefined && before !== group) {
        throw bad(info.lines, `one person is both ${before} and ${group} by ${attribute}.`);
      }
      own[attribute] = group;
    }
  }
  return groups;
}

/** Names, one a line. @throws Refusal SOURCE_NOT_FOUND */
export async function readNames(file: string): Promise<Set<string>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Refusal('SOURCE_NOT_FOUND', `${file} cannot be read.`, undefined, { cause });
  });
  return new Set(text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()])));
}

interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

function parseRows(text: string, bad: (line: number, why: string) => Refusal): CsvRow[] {
  try {
    const options = { columns: true, skip_empty_lines: true, trim: true, bom: true, info: true } as const;
    return parseCsv(text, options) as unknown as CsvRow[];
  } catch (error) {
    if (error instanceof CsvError) throw bad(Number(error['lines']), error.message);
    throw error;
  }
}

function subjectOf({ subject, identity, image }: Readonly<Record<string, string>>): string | undefined {
  const name = subject ?? identity ?? image?.split('/').at(-2);
  return name === '' ? undefined : name;
}

function isImage(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}
