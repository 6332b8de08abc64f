/** What the convention tests read: the project's own files, and the tables in its documents. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const PROJECT_FOLDER = join(import.meta.dirname, '..', '..');

/** Made by machines or by others, or not of the project. */
const NOT_OURS = new Set(['node_modules', 'dist', 'data', 'coverage', '.git']);

/** Paths relative to the project, with `/`. */
export function projectFiles(extensions: readonly string[], folder: string = PROJECT_FOLDER): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return projectFiles(extensions, path);
    return extensions.some((extension) => entry.name.endsWith(extension)) ? [relative(PROJECT_FOLDER, path)] : [];
  });
}

export function readProjectFile(path: string): string {
  return readFileSync(join(PROJECT_FOLDER, path), 'utf8');
}

/**
 * The rows of every table under one `##` heading of a Markdown document, by the header's words. `\|` in a cell is a bar.
 *
 * @throws Error when the document has no such heading, or no table under it
 */
export function tableRows(document: string, heading: string): Record<string, string>[] {
  const section = sectionOf(document, heading);
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  const isRule = (line: string): boolean => /^\|[\s:|-]+\|$/.test(line);
  const rows: Record<string, string>[] = [];
  let header: string[] = [];
  lines.forEach((line, i) => {
    if (isRule(line)) return;
    if (isRule(lines[i + 1] ?? '')) header = cellsOf(line);
    else rows.push(Object.fromEntries(cellsOf(line).map((cell, column) => [header[column] ?? '', cell])));
  });
  if (rows.length === 0) throw new Error(`there is no table under "${heading}"`);
  return rows;
}

/** A cell that is one piece of code, without its backticks. */
export function plain(cell: string | undefined): string {
  return (cell ?? '').replace(/^`(.*)`$/, '$1');
}

function sectionOf(document: string, heading: string): string {
  const lines = document.split('\n');
  const start = lines.indexOf(`## ${heading}`);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const end = lines.findIndex((line, i) => i > start && line.startsWith('## '));
  return lines.slice(start + 1, end === -1 ? undefined : end).join('\n');
}

function cellsOf(line: string): string[] {
  return line
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
}
