import { HttpException } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { Failure, Refusal } from '#domain/errors.js';
import { HttpProblem, httpStatusOf } from '#platform/http-status.js';
import { plain, projectFiles, readProjectFile, tableRows } from './project-files.js';
import { madeErrors, statusTable, type MadeError } from './source-codes.js';

const SECTIONS = [
  'Images and faces',
  'Requests and rules',
  'Identity',
  'Kafka records',
  'Kafka itself',
  'Gallery and snapshots',
  'Start and settings',
  'Command line',
];
/** Hand on what another process, thread or rule has made, under the code that it has. */
const PASS_ON = [
  'apps/cli/src/search.ts',
  'apps/cli/src/service-client.ts',
  'apps/query/src/review/retrospective-runs.ts',
  'libs/face/src/face-engine.ts',
  'libs/face/src/face-protocol.ts',
  'libs/gallery/src/shard-protocol.ts',
];
const NOT_OVER_HTTP = '–';

const document = readProjectFile('docs/errors.md');
const documented = SECTIONS.flatMap((section) => tableRows(document, section));
const ofTheHttpLayer = tableRows(document, 'HTTP layer');
const made = madeErrors();

function codesOf(rows: readonly Record<string, string>[]): string[] {
  return rows.map((row) => plain(row['Code']));
}

function retryableText(errors: readonly MadeError[]): string {
  const values = new Set(errors.map((error) => error.retryable));
  if (values.size > 1 || values.has(undefined)) return 'depends';
  return values.has(true) ? 'yes' : 'no';
}

/** What the table should say where the code leaves over HTTP. */
function statusText(errors: readonly MadeError[]): string {
  const { code, kind } = errors[0]!;
  if (kind === 'refused') return String(httpStatusOf(new Refusal(code!, '')));
  const status = (retryable: boolean): string => String(httpStatusOf(new Failure(code!, '', retryable)));
  const retryable = retryableText(errors);
  return retryable === 'depends' ? `${status(true)} or ${status(false)}` : status(retryable === 'yes');
}

/** Every code that Nest's own refusals are given. */
function httpProblems(): Map<string, number> {
  const problems = new Map<string, number>();
  for (let status = 400; status < 600; status++) {
    const { code } = new HttpProblem(new HttpException('refused', status));
    if (!problems.has(code)) problems.set(code, status);
  }
  return problems;
}

describe('docs/errors.md', () => {
  it('has one row for each code that the code makes, and no other', () => {
    const fromCode = new Set(made.map((error) => error.code).filter((code) => code !== undefined));
    const known = [...codesOf(documented), ...codesOf(ofTheHttpLayer)];
    expect(known.toSorted()).toEqual([...new Set([...fromCode, ...httpProblems().keys()])].toSorted());
  });

  it('knows every place that passes a code on instead of naming it', () => {
    const files = made.filter((error) => error.code === undefined).map((error) => error.file);
    expect([...new Set(files)].toSorted()).toEqual(PASS_ON);
  });

  it.each(documented)('says of $Code who is at fault, and whether to try again', (row) => {
    const errors = made.filter((error) => error.code === plain(row['Code']));
    expect([...new Set(errors.map((error) => error.kind))]).toEqual([row['Kind']]);
    expect(row['Retryable']).toBe(retryableText(errors));
  });

  it.each(documented)('gives $Code the HTTP status that it has', (row) => {
    const code = plain(row['Code']);
    const status = statusText(made.filter((error) => error.code === code));
    // A status of its own was given for a reason, so that such a code does leave over HTTP.
    if (row['HTTP'] === NOT_OVER_HTTP) expect(statusTable().has(code)).toBe(false);
    else expect(row['HTTP']).toBe(status);
  });

  it('gives what the HTTP layer refuses its status', () => {
    const problems = httpProblems();
    for (const row of ofTheHttpLayer) expect(row['HTTP']).toBe(String(problems.get(plain(row['Code']))));
  });

  it('says for every code what it means and what to do', () => {
    for (const row of [...documented, ...ofTheHttpLayer]) {
      expect(row['Meaning'], row['Code']).toMatch(/\w{3}.*\.$/);
      expect(row['What to do'], row['Code']).toMatch(/\w{3}.*\.$/);
    }
  });

  it('names no status for a code that nobody makes', () => {
    const known = new Set([...codesOf(documented), ...codesOf(ofTheHttpLayer)]);
    expect([...statusTable().keys()].filter((code) => !known.has(code))).toEqual([]);
  });

  it('lists only codes of logs that the code knows', () => {
    const sources = projectFiles(['.ts'])
      .filter((path) => /^(apps|libs)\//.test(path))
      .map(readProjectFile)
      .join('\n');
    for (const code of codesOf(tableRows(document, 'Said in logs and dead letters only'))) {
      expect(sources).toContain(`'${code}'`);
      expect(codesOf(documented)).not.toContain(code);
    }
  });
});
