/** docs/governance.md says which test shows that each rule is carried out; what it names is there. */
import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { desiredTopics } from '#contracts/topics.js';
import type { ModelId } from '#domain/ids.js';
import { routesOf } from '#platform/routes.js';
import { ImagesController } from '../../apps/ingest/src/images.controller.js';
import { CONTROLLERS } from '../../apps/query/src/query.module.js';
import { PROJECT_FOLDER, projectFiles, readProjectFile, tableRows } from './project-files.js';
import { testTitles } from './test-titles.js';

const document = readProjectFile('docs/governance.md');

/** Each has a section of its own with a table of rules. */
const SOURCES = [
  'Police and Criminal Evidence Act 1984, section 64A',
  'Data Protection Act 2018, Part 3: the principles',
  'Data Protection Act 2018, Part 3: the person’s rights',
  'Data Protection Act 2018, Part 3: decisions by machines',
  'Data Protection Act 2018, Part 3: the controller’s duties',
  'Data Protection Act 2018, section 62: logs',
  'R (Bridges) v Chief Constable of South Wales Police',
  'Equality Act 2010, section 149',
  'Criminal Procedure and Investigations Act 1996',
  'R (RMC and FJ) v Commissioner of Police of the Metropolis',
  'Images of children',
  'The published grounds of operator-initiated searches',
] as const;

interface Rule {
  readonly source: string;
  readonly asked: string;
  readonly tests: readonly string[];
}

const rules: readonly Rule[] = SOURCES.flatMap((source) =>
  tableRows(document, source).map((row) => ({
    source,
    asked: row['Asked'] ?? '',
    tests: codeIn(row['Shown by'] ?? ''),
  })),
);

function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

const code = codeIn(document);
const shipped = projectFiles(['.ts'])
  .filter((path) => /^(apps|libs)\//.test(path) && !/\.test\.ts$/.test(path))
  .map(readProjectFile)
  .join('\n');

describe('docs/governance.md', () => {
  it('has rules of every source', () => {
    expect(rules.length).toBeGreaterThan(SOURCES.length);
    for (const source of SOURCES) expect(rules.some((rule) => rule.source === source)).toBe(true);
    expect(rules.filter(({ asked }) => asked === '')).toEqual([]);
  });

  it.each(rules)('names tests that are there: $source, $asked', ({ tests }) => {
    const missing = tests.filter((reference) => {
      const [path = '', ...title] = reference.split(' › ');
      return !existsSync(join(PROJECT_FOLDER, path)) || !testTitles(path).has(title.join(' › '));
    });
    expect(missing).toEqual([]);
    expect(tests).not.toEqual([]);
  });

  it('names routes that are there', () => {
    const routes = routesOf([...CONTROLLERS, ImagesController]).map(({ route }) => route);
    const named = code.filter((text) => /^(GET|POST|PUT|PATCH|DELETE) \//.test(text));
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((text) => !routes.includes(text.replace(/\{(\w+)\}/g, ':$1')))).toEqual([]);
  });

  it('names files that are there', () => {
    const named = code.filter((text) => /^[\w./-]+\/[\w.-]+\.(ts|json|md)$/.test(text));
    expect(named.length).toBeGreaterThan(2);
    expect(named.filter((path) => !existsSync(join(PROJECT_FOLDER, path)))).toEqual([]);
  });

  it('names topics that are there', () => {
    const topics = desiredTopics({ modelId: '<modelId>' as ModelId, profile: 'production', replication: 3 });
    const named = code.filter((text) => /^[a-z]+\.[a-z]+\S*\.v1$/.test(text));
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !topics.some((topic) => topic.name === name))).toEqual([]);
  });

  it('names settings, codes, states and events that the code knows', () => {
    const named = code.filter((text) => /^[A-Z][A-Z_]+$/.test(text));
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((word) => !new RegExp(`(['"\`]${word}['"\`]|\\b${word}\\b:)`).test(shipped))).toEqual([]);
  });
});
