import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectFiles, readProjectFile } from './project-files.js';

/** Spelt in two parts, so that this file is not its own finding. */
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);

const sources = projectFiles(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs']);
const documents = projectFiles(['.md']);

describe('the words of the project', () => {
  it('has files to look at', () => {
    expect(sources).toContain('libs/domain/src/errors.ts');
    expect(documents).toContain('README.md');
  });

  it('leaves no note about unfinished work in a source or a document', () => {
    const found = [...sources, ...documents].flatMap((path) =>
      readProjectFile(path)
        .split('\n')
        .flatMap((line, i) => (UNFINISHED.test(line) ? [`${path}:${i + 1}`] : [])),
    );
    expect(found).toEqual([]);
  });

  it('names files for what they hold, not for a pattern', () => {
    const found = sources.filter((path) =>
      /\.(service|impl|repository|manager|helper|util|utils)\./.test(basename(path)),
    );
    expect(found).toEqual([]);
  });

  it('has no barrel file', () => {
    expect(sources.filter((path) => /^index\.[cm]?[jt]s$/.test(basename(path)))).toEqual([]);
  });

  it('has no default export, except where a tool demands one', () => {
    const demanded = /(\.config\.[cm]?[jt]s|libs\/testkit\/src\/(broker-for-tests|plain-count-reporter)\.ts)$/;
    const found = sources.filter((path) => !demanded.test(path) && /^export default /m.test(readProjectFile(path)));
    expect(found).toEqual([]);
  });

  it('keeps files short enough to hold in the head', () => {
    const LINES_MAX = 450;
    const found = sources
      .filter((path) => readProjectFile(path).split('\n').length > LINES_MAX)
      .map((path) => `${path} has more than ${LINES_MAX} lines`);
    expect(found).toEqual([]);
  });
});
