/** The export of what became of every image, as the query service writes it. */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { formatImageExportLine, parseImageExportLine, type ImageExportLine } from '#contracts/image-export.js';
import { Failure } from '#domain/errors.js';
import type { Settings } from '#platform/settings.js';
import { CsvFile } from './csv-file.js';
import { ServiceClient } from './service-client.js';
import { TextFile } from './text-file.js';

const COLUMNS = [
  ...['imageId', 'subjectId', 'state', 'code', 'at', 'partition', 'offset'],
  ...['force', 'custodyReference', 'capturedAt', 'lawfulBasis', 'reviewDue'],
] as const;

/**
 * @param options.out a new file: CSV when its name ends so, else JSON lines
 * @throws EEXIST when there is such a file, which is left as it is; what {@link imageExport} throws
 */
export async function exportImages(settings: Settings, options: { readonly out: string }): Promise<void> {
  const isCsv = options.out.toLowerCase().endsWith('.csv');
  let file: CsvFile | TextFile | undefined;
  for await (const line of imageExport(settings)) {
    // Not before the service answers: of what it refuses, no file is left.
    file ??= isCsv ? new CsvFile(options.out, COLUMNS, 'wx') : new TextFile(options.out, 'wx');
    if (file instanceof TextFile) await file.write(formatImageExportLine(line));
    else if (line.kind === 'image') {
      const { source, ...image } = line;
      await file.write(COLUMNS.map((column) => ({ ...image, ...source })[column]));
    }
  }
  await file?.close();
  process.stdout.write(`${options.out}\n`);
}

/** @throws Failure IMAGE_EXPORT_CUT_OFF when the last line does not come; what {@link ServiceClient} throws */
export async function* imageExport(settings: Settings): AsyncIterable<ImageExportLine> {
  const stream = await new ServiceClient(settings, 'data-protection').download('/v1/exports/images');
  const body = Readable.fromWeb(stream as ReadableStream);
  let ended = false;
  let cause: unknown;
  // A service that is lost ends the stream with an error, which the lines would hide.
  body.on('error', (error) => (cause = error));
  for await (const text of createInterface({ input: body, crlfDelay: Infinity })) {
    const line = parseImageExportLine(text);
    ended = line.kind === 'end';
    yield line;
  }
  if (!ended) throw new Failure('IMAGE_EXPORT_CUT_OFF', 'The export ended before its last line.', true, { cause });
}
