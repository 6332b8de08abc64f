/** The dashboards: what is committed is what their source says, and what they ask for and link to exists. */
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dashboardFiles, dashboards, DASHBOARDS_FOLDER } from '../../deploy/monitoring/dashboards/src/dashboards.js';
import { panelsOf } from '../monitoring/dashboard-panels.js';
import { plain, projectFiles, readProjectFile, tableRows } from './project-files.js';

const alertRules = readProjectFile('deploy/monitoring/alerts.yaml');
const files = dashboardFiles(alertRules);
const all = [...dashboards(alertRules)].flatMap(([name, dashboard]) =>
  panelsOf(dashboard).map((panel) => ({ ...panel, of: name })),
);
const queries = all.flatMap(({ of, title, queries: each }) => each.map(({ expr }) => ({ of, title, expr })));

const documented = new Map(
  tableRows(readProjectFile('docs/metrics.md'), 'Of this project').map((row) => [plain(row['Name']), row['Type']]),
);
const recorded = new Set(
  [...readProjectFile('deploy/monitoring/recording.yaml').matchAll(/record: (\S+)/g)].map(([, name]) => name!),
);
/** Of Prometheus and of prom-client, as docs/metrics.md says under “Of the process”. */
const OF_ALL = /^(up|ALERTS|process_cpu_seconds_total|process_resident_memory_bytes|nodejs_eventloop_lag_p99_seconds)$/;
/** What Prometheus makes of a histogram. */
const HISTOGRAM_SERIES = /_(bucket|count|sum)$/;

/** Names that stand before a selector or a window, or alone: what is asked for. */
function metricsIn(expr: string): string[] {
  const withoutSelectors = expr.replaceAll(/"[^"]*"/g, '""');
  return [...withoutSelectors.matchAll(/\b(?:custody[_:][\w:]+|(?:process|nodejs)_\w+|up|ALERTS)(?=\b)/g)].map(
    ([name]) => name,
  );
}

describe('the dashboards', () => {
  it.each([...files.keys()])('%s is what npm run generate writes', (path) => {
    expect(readProjectFile(path) === files.get(path), 'stale: npm run generate').toBe(true);
  });

  it('are all that is in their folder', () => {
    const found = projectFiles(['.json']).filter((path) => path.startsWith(`${DASHBOARDS_FOLDER}/`));
    expect(found.toSorted()).toEqual([...files.keys()].filter((path) => path.endsWith('.json')).toSorted());
  });

  it.each(queries)('$of: $title asks for metrics that are documented', ({ expr }) => {
    const metrics = metricsIn(expr);
    expect(metrics).not.toEqual([]);
    for (const name of metrics) {
      if (OF_ALL.test(name) || recorded.has(name)) continue;
      const base = documented.has(name) ? name : name.replace(HISTOGRAM_SERIES, '');
      expect(documented.has(base), name).toBe(true);
      if (base !== name) expect(documented.get(base)).toBe('histogram');
    }
  });

  it.each(queries)('$of: $title is of the chosen processes, or of an objective, or of alerts', ({ expr }) => {
    const raw = [...expr.matchAll(/\b((?:custody|process|nodejs)_\w+)(\{[^}]*\})?/g)].filter(([name]) => name !== '');
    for (const [text, , selector] of raw) {
      expect(expr.includes('[30d]') || selector?.includes('instance=~"$instance"') === true, text).toBe(true);
    }
  });

  it.each(all)('$of: $title is a question with a unit, and says what to look at', ({ title, description, unit }) => {
    expect(title).toMatch(/\?$/);
    expect(unit).toMatch(/^[a-z]+$/i);
    expect(description.length).toBeGreaterThan(20);
  });

  it.each(all.filter(({ runbooks }) => runbooks.length > 0))('$of: $title links to runbooks that exist', (panel) => {
    const runbooks = projectFiles(['.md']).filter((path) => path.startsWith('docs/runbooks/'));
    expect(runbooks.map((path) => basename(path))).toEqual(expect.arrayContaining([...panel.runbooks]));
  });

  it('lead to the runbook of every alert', () => {
    const alerts = [...alertRules.matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => `${name}.md`);
    const linked = new Set(all.flatMap(({ runbooks }) => runbooks));
    expect(alerts.filter((alert) => !linked.has(alert))).toEqual([]);
  });

  it('are shown and explained in docs/dashboards.md, each question once', () => {
    const document = readProjectFile('docs/dashboards.md');
    for (const name of dashboards(alertRules).keys()) expect(document).toContain(`](dashboards/${name}.svg)`);
    expect(new Set(all.map(({ of, title }) => `${of} ${title}`)).size).toBe(all.length);
  });
});
