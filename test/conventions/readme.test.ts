import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PROJECT_FOLDER, projectFiles, readProjectFile } from './project-files.js';

const readme = readProjectFile('README.md');
const documents = projectFiles(['.md']);

interface Link {
  readonly from: string;
  readonly target: string;
}

/** Links within the project: neither to the web nor to an address of a person. */
function relativeLinks(path: string): Link[] {
  const text = withoutCodeBlocks(readProjectFile(path));
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => ({ from: path, target: match[1]! }))
    .filter(({ target }) => !/^[a-z]+:/.test(target));
}

function withoutCodeBlocks(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, '');
}

/** As GitHub makes them: lower case, without punctuation, hyphens for spaces. */
function anchorsOf(path: string): Set<string> {
  const headings = withoutCodeBlocks(readProjectFile(path)).matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map((match) =>
      match[1]!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  );
}

describe('README.md', () => {
  it('has the two commands as code, each on a line of its own', () => {
    const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1]!).join('\n');
    const lines = blocks.split('\n');
    expect(lines).toContain('npm ci && npm start');
    expect(lines).toContain('npm ci && npm test');
  });

  it('says that the default model pack is for evaluation only', () => {
    expect(readme).toMatch(/evaluation pack/i);
  });

  it('stays short enough to be read', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(250);
  });

  it('names only npm scripts that package.json has', () => {
    const { scripts } = JSON.parse(readProjectFile('package.json')) as { scripts: Record<string, string> };
    const used = documents.flatMap((path) => [...readProjectFile(path).matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)]);
    const unknown = [...new Set(used.map((match) => match[1]!))].filter((name) => !(name in scripts));
    expect(unknown).toEqual([]);
  });
});

describe('links of the documents', () => {
  it.each(documents.flatMap(relativeLinks))('$from: $target resolves', ({ from, target }) => {
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? from : join(dirname(from), path);
    expect(existsSync(join(PROJECT_FOLDER, file))).toBe(true);
    if (anchor !== undefined) expect([...anchorsOf(file)]).toContain(anchor);
  });
});
