/**
 * Which error codes the code can make, read from its syntax tree, so that neither a comment nor a line break matters.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { PROJECT_FOLDER } from './project-files.js';

export interface MadeError {
  readonly kind: 'refused' | 'failed';
  /** Undefined when the code is passed on from somewhere else. */
  readonly code: string | undefined;
  /** Undefined when it is decided at run time. */
  readonly retryable: boolean | undefined;
  /** Relative to the project. */
  readonly file: string;
}

/** Every `new Refusal(…)` and `new Failure(…)` of what is shipped. */
export function madeErrors(): MadeError[] {
  return ['apps', 'libs'].flatMap((folder) => shippedSources(join(PROJECT_FOLDER, folder))).flatMap(madeErrorsOf);
}

/** The codes that http-status.ts names, with their status. */
export function statusTable(): ReadonlyMap<string, number> {
  const table = new Map<string, number>();
  visit(parse(join(PROJECT_FOLDER, 'libs/platform/src/http-status.ts')), (node) => {
    if (!ts.isPropertyAssignment(node) || !ts.isIdentifier(node.name)) return;
    if (ts.isNumericLiteral(node.initializer)) table.set(node.name.text, Number(node.initializer.text));
  });
  return table;
}

function shippedSources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes('/libs/testkit/') && !path.includes('/node_modules/'));
}

function madeErrorsOf(path: string): MadeError[] {
  const found: MadeError[] = [];
  visit(parse(path), (node) => {
    if (!ts.isNewExpression(node) || !ts.isIdentifier(node.expression)) return;
    const name = node.expression.text;
    if (name !== 'Refusal' && name !== 'Failure') return;
    const [code, , third] = node.arguments ?? [];
    found.push({
      kind: name === 'Refusal' ? 'refused' : 'failed',
      code: code !== undefined && ts.isStringLiteral(code) ? code.text : undefined,
      retryable: name === 'Refusal' ? false : booleanOf(third),
      file: relative(PROJECT_FOLDER, path),
    });
  });
  return found;
}

function booleanOf(node: ts.Expression | undefined): boolean | undefined {
  if (node?.kind === ts.SyntaxKind.TrueKeyword) return true;
  if (node?.kind === ts.SyntaxKind.FalseKeyword) return false;
  return undefined;
}

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
}

function visit(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  ts.forEachChild(node, (child) => visit(child, look));
}
