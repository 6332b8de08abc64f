/** Which tests there are, read from their syntax trees: documents name tests as what shows that a promise is kept. */
import ts from 'typescript';
import { readProjectFile } from './project-files.js';

/**
 * Every test of a file by its full name, `describe › … › test`, as it is written: with `%s` and `${…}` where a table
 * fills them in. One that is skipped without a condition, or still to be written, is none.
 */
export function testTitles(path: string): ReadonlySet<string> {
  const source = ts.createSourceFile(path, readProjectFile(path), ts.ScriptTarget.Latest, true);
  const titles = new Set<string>();
  const visit = (node: ts.Node, groups: readonly string[]): void => {
    const block = blockOf(node, source);
    if (block?.skipped === true) return;
    if (block?.kind === 'test') titles.add([...groups, block.title].join(' › '));
    const within = block?.kind === 'group' ? [...groups, block.title] : groups;
    ts.forEachChild(node, (child) => visit(child, within));
  };
  visit(source, []);
  return titles;
}

interface Block {
  readonly kind: 'test' | 'group';
  readonly title: string;
  readonly skipped: boolean;
}

function blockOf(node: ts.Node, source: ts.SourceFile): Block | undefined {
  if (!ts.isCallExpression(node) || node.arguments.length < 2) return undefined;
  const [first] = node.arguments;
  const title = titleOf(first!, source);
  const names = namesOf(node.expression);
  const kind = KINDS[names.at(-1) ?? ''];
  if (title === undefined || kind === undefined) return undefined;
  return { kind, title, skipped: names.includes('skip') || names.includes('todo') };
}

const KINDS: Readonly<Record<string, Block['kind']>> = { it: 'test', test: 'test', describe: 'group' };

function titleOf(argument: ts.Expression, source: ts.SourceFile): string | undefined {
  if (ts.isStringLiteralLike(argument)) return argument.text;
  return ts.isTemplateExpression(argument) ? argument.getText(source).slice(1, -1) : undefined;
}

/** Of `it.each(rows)`: each, it. */
function namesOf(callee: ts.Expression): string[] {
  if (ts.isCallExpression(callee)) return namesOf(callee.expression);
  if (ts.isPropertyAccessExpression(callee)) return [callee.name.text, ...namesOf(callee.expression)];
  return ts.isIdentifier(callee) ? [callee.text] : [];
}
