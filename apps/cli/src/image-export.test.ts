import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatImageExportLine } from '#contracts/image-export.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import { readSettings } from '#platform/settings.js';
import { exportImages } from './image-export.js';

const AT = '2026-03-01T00:00:00.000Z';
const HEAD = formatImageExportLine({
  kind: 'image-export',
  version: 1,
  exportedAt: AT,
  modelId: '0123456789abcdef' as ModelId,
  outcomesSince: null,
  imagesWaiting: 0,
});
const IMAGE = formatImageExportLine({
  kind: 'image',
  imageId: 'image-1' as ImageId,
  state: 'enrolled',
  at: AT,
  source: { partition: 3, offset: 7 as Offset },
  subjectId: 'subject-1' as SubjectId,
});
const END = formatImageExportLine({ kind: 'end', images: 1 });

let service: Server;
let answer: { readonly status: number; readonly text: string };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-export-'));
  answer = { status: 200, text: HEAD + IMAGE + END };
  service = createServer((_, response) => response.writeHead(answer.status).end(answer.text)).listen(0, '127.0.0.1');
  await once(service, 'listening');
  vi.stubEnv('CUSTODY_URL', `http://127.0.0.1:${(service.address() as AddressInfo).port}`);
  vi.stubEnv('CUSTODY_TOKEN', 'of-data-protection');
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  service.closeAllConnections();
  service.close();
  await rm(folder, { recursive: true });
});

const exportTo = (name: string): Promise<void> => exportImages(readSettings({}), { out: join(folder, name) });

describe('the export of images to a file', () => {
  it('is the lines as they came, or their images as a table', async () => {
    await exportTo('images.jsonl');
    expect(await readFile(join(folder, 'images.jsonl'), 'utf8')).toBe(HEAD + IMAGE + END);
    await exportTo('images.csv');
    const [columns, row] = (await readFile(join(folder, 'images.csv'), 'utf8')).split('\r\n');
    expect(columns).toMatch(/^imageId,subjectId,state,/);
    expect(row).toMatch(/^image-1,subject-1,enrolled,/);
  });

  it.each(['images.jsonl', 'images.csv'])('leaves an earlier one as it is: %s', async (name) => {
    await writeFile(join(folder, name), 'an earlier export');
    await expect(exportTo(name)).rejects.toThrow(/EEXIST/);
    expect(await readFile(join(folder, name), 'utf8')).toBe('an earlier export');
  });

  it.each(['images.jsonl', 'images.csv'])('makes no file when it is refused, or nobody answers: %s', async (name) => {
    answer = { status: 401, text: JSON.stringify({ code: 'TOKEN_INVALID', detail: 'It is over.' }) };
    expect(await codeOfAsync(() => exportTo(name))).toBe('TOKEN_INVALID');
    answer = { status: 503, text: JSON.stringify({ code: 'EXPORT_RUNNING', detail: 'Another.', retryable: true }) };
    expect(await codeOfAsync(() => exportTo(name))).toBe('EXPORT_RUNNING');
    answer = { status: 200, text: '' };
    expect(await codeOfAsync(() => exportTo(name))).toBe('IMAGE_EXPORT_CUT_OFF');
    vi.stubEnv('CUSTODY_URL', 'http://127.0.0.1:9');
    expect(await codeOfAsync(() => exportTo(name))).toBe('SERVICE_UNREACHABLE');
    expect(await readdir(folder)).toEqual([]);
  });
});
