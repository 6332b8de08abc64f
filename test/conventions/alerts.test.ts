import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plain, PROJECT_FOLDER, readProjectFile, tableRows } from './project-files.js';

const RULES = 'deploy/alerts.yaml';
/** What Prometheus makes of a histogram. */
const HISTOGRAM_SERIES = /_(bucket|count|sum)$/;

interface Alert {
  readonly name: string;
  readonly text: string;
}

const alerts: readonly Alert[] = readProjectFile(RULES)
  .split(/^ *- alert: /m)
  .slice(1)
  .map((text) => ({ name: text.split('\n')[0]!.trim(), text }));
const documented = new Map(
  tableRows(readProjectFile('docs/metrics.md'), 'Of this project').map((row) => [plain(row['Name']), row['Type']]),
);

/** The anchors that a Markdown renderer gives to a document's headings. */
function anchorsOf(path: string): Set<string> {
  const headings = readProjectFile(path).matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, text]) =>
      text!
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('deploy/alerts.yaml', () => {
  it('has each alert once', () => {
    const names = alerts.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(0);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(alerts)('$name asks for metrics that are documented', ({ text }) => {
    const expr = /^ *expr:([\s\S]*?)^ *(?:for|labels):/m.exec(text)?.[1] ?? '';
    const metrics = [...expr.matchAll(/\bcustody_\w+/g)].map(([name]) => name);
    expect(metrics.length).toBeGreaterThan(0);
    for (const name of metrics) {
      const base = documented.has(name) ? name : name.replace(HISTOGRAM_SERIES, '');
      expect(documented.has(base), name).toBe(true);
      if (base !== name) expect(documented.get(base)).toBe('histogram');
    }
  });

  it.each(alerts)('$name says how bad it is, what it is, and where to read what to do', ({ text }) => {
    expect(text).toMatch(/^ *severity: (page|ticket)$/m);
    expect(text).toMatch(/^ *summary: \S/m);
    const [, path, anchor] = /^ *runbook: (\S+)#(\S+)$/m.exec(text) ?? [];
    expect(anchorsOf(path ?? 'no runbook')).toContain(anchor);
  });

  it('is what Prometheus takes', ({ skip }) => {
    const found = spawnSync('promtool', ['check', 'rules', join(PROJECT_FOLDER, RULES)], { encoding: 'utf8' });
    if (found.error !== undefined) skip('promtool is not installed here');
    expect(found.status, found.stderr).toBe(0);
  });
});
