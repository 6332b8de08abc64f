/** What is published about the topics is what the code does, and what the last release has promised still holds. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { contractBreaks } from '#contracts/contract-compatibility.js';
import { contractOf, type Contract } from '#contracts/contract-document.js';
import { GENERATED_FOLDERS, generatedFiles, PUBLISHED_CONTRACT } from '#contracts/generated-files.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';

const read = (path: string): string => readFileSync(join(PROJECT_FOLDER, path), 'utf8');
const { version } = JSON.parse(read('package.json')) as { version: string };
const files = generatedFiles(version);

describe('generated files', () => {
  test.each([...files.keys()])('%s is what npm run generate writes', (path) => {
    // Not toBe(): a difference of thousands of lines tells nobody more.
    expect(read(path) === files.get(path), 'stale: npm run generate').toBe(true);
  });

  test.each(GENERATED_FOLDERS)('%s has nothing that is not generated', (folder) => {
    const found = readdirSync(join(PROJECT_FOLDER, folder), { withFileTypes: true }).filter((one) => one.isFile());
    expect(found.map(({ name }) => `${folder}/${name}`).filter((path) => !files.has(path))).toEqual([]);
  });
});

describe('the contract of the last release', () => {
  const published = JSON.parse(read(PUBLISHED_CONTRACT)) as Contract;

  test('holds: whoever writes or reads by it can go on', () => {
    expect(contractBreaks(published, contractOf(version))).toEqual([]);
  });

  test('is of a version that was there before, or is this one', () => {
    const numbers = (text: string): number[] => text.split('.').map(Number);
    const [then, now] = [numbers(published.version), numbers(version)];
    const first = then.findIndex((part, i) => part !== now[i]);
    expect(first === -1 || then[first]! < now[first]!).toBe(true);
  });
});
