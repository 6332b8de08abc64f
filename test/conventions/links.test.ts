import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const FOLDERS = ['docs', 'k8s', 'deploy'];

const documents = [
  'README.md',
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
      .map((name) => join(folder, name)),
  ),
];

/** Without what is code and not prose: a bracket there is no link. */
function proseOf(path: string): string {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return text
    .replaceAll(/^( *)(```|~~~)[\s\S]*?^\1\2/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
}

/** As GitHub makes them of headings. */
function anchorsOf(path: string): Set<string> {
  const text = readFileSync(join(ROOT, path), 'utf8').replaceAll(/^( *)(```|~~~)[\s\S]*?^\1\2/gm, '');
  const anchors = new Set<string>();
  for (const [, heading] of text.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const words = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = words.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    for (let n = 0; ; n++) {
      const anchor = n === 0 ? slug : `${slug}-${n}`;
      if (anchors.has(anchor)) continue;
      anchors.add(anchor);
      break;
    }
  }
  return anchors;
}

/** What does not lead anywhere, of the links to files and headings of this project. */
function brokenLinks(path: string): string[] {
  const broken: string[] = [];
  for (const [, target] of proseOf(path).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue;
    const [file, anchor] = target!.split('#') as [string, string | undefined];
    const found = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), decodeURIComponent(file)));
    if (!existsSync(join(ROOT, found))) broken.push(`${target}: no such file`);
    else if (anchor !== undefined && statSync(join(ROOT, found)).isFile() && !anchorsOf(found).has(anchor)) {
      broken.push(`${target}: no such heading`);
    }
  }
  return broken;
}

describe('the documents', () => {
  it.each(documents)('%s links to what is there', (path) => {
    expect(brokenLinks(path)).toEqual([]);
  });

  it('are there where manifests, images and runbooks name them', () => {
    const named = FOLDERS.flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .map((name) => join(folder, name))
        .filter((name) => /\.(md|yaml)$|Dockerfile$/.test(name))
        .flatMap((name) =>
          [...readFileSync(join(ROOT, name), 'utf8').matchAll(/\bdocs\/[\w./-]+\.md\b/g)].map(([one]) => one),
        ),
    );
    expect([...new Set(named)].filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
    expect(named.length).toBeGreaterThan(0);
  });
});
