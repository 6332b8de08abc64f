import { spawnSync } from 'node:child_process';
import { prometheusRule } from '#contracts/prometheus-rule.js';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plain, PROJECT_FOLDER, projectFiles, readProjectFile, tableRows } from './project-files.js';

const FOLDER = 'deploy/monitoring';
const RULES = `${FOLDER}/alerts.yaml`;
const RECORDED = new Set(
  [...readProjectFile(`${FOLDER}/recording.yaml`).matchAll(/record: (\S+)/g)].map(([, name]) => name),
);
/** Of Prometheus and of prom-client. */
const OF_ALL = ['up{', 'nodejs_eventloop_lag_p99_seconds'];
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

describe(RULES, () => {
  it('has each alert once', () => {
    const names = alerts.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(0);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(alerts)('$name asks for metrics that are documented', ({ text }) => {
    const expr = /^ *expr:([\s\S]*?)^ *(?:for|labels):/m.exec(text)?.[1] ?? '';
    const recorded = [...expr.matchAll(/\bcustody:\w+(?::\w+)?/g)].map(([name]) => name);
    for (const name of recorded) expect(RECORDED).toContain(name);
    const metrics = [...expr.matchAll(/\bcustody_\w+/g)].map(([name]) => name);
    expect(metrics.length + recorded.length + OF_ALL.filter((name) => expr.includes(name)).length).toBeGreaterThan(0);
    for (const name of metrics) {
      const base = documented.has(name) ? name : name.replace(HISTOGRAM_SERIES, '');
      expect(documented.has(base), name).toBe(true);
      if (base !== name) expect(documented.get(base)).toBe('histogram');
    }
  });

  it.each(alerts)('$name says how bad it is, what it is, and where to read what to do', ({ text }) => {
    expect(text).toMatch(/^ *severity: (page|ticket)$/m);
    expect(text).toMatch(/^ *summary: \S/m);
  });

  it.each(alerts)(
    '$name has a runbook of its name, with the four questions that somebody who is woken asks',
    ({ name, text }) => {
      expect(text).toContain(`runbook: docs/runbooks/${name}.md`);
      const runbook = readProjectFile(`docs/runbooks/${name}.md`);
      expect(runbook.match(/^#+ .*$/gm)).toEqual([`# ${name}`, '## Meaning', '## Urgency', '## Look', '## Fix']);
    },
  );

  it('has an alert for each runbook, and each link in them leads somewhere', () => {
    const runbooks = projectFiles(['.md']).filter((path) => path.startsWith('docs/runbooks/'));
    expect(runbooks.map((path) => basename(path, '.md')).toSorted()).toEqual(alerts.map(({ name }) => name).toSorted());
    for (const runbook of runbooks) {
      for (const [, link] of readProjectFile(runbook).matchAll(/\]\(([^)]+)\)/g)) {
        const [file, anchor] = link!.split('#');
        const path = join(dirname(runbook), file!);
        expect(projectFiles(['.md']), `${runbook}: ${link}`).toContain(path);
        if (anchor !== undefined) expect(anchorsOf(path), `${runbook}: ${link}`).toContain(anchor);
      }
    }
  });

  it('is tried with each alert where it fires and where it does not', () => {
    const tried = ['alerts', 'slow-alerts'].map((file) => readProjectFile(`${FOLDER}/${file}.test.yaml`)).join('');
    const cases = [...tried.matchAll(/- name: (\w+ (?:fires|is quiet))$/gm)];
    expect(cases.map(([, name]) => name).toSorted()).toEqual(
      alerts.flatMap(({ name }) => [`${name} fires`, `${name} is quiet`]).toSorted(),
    );
  });

  it('is what Prometheus takes', ({ skip }) => {
    const run = (...args: string[]): void => {
      const found = spawnSync('promtool', args, { encoding: 'utf8', cwd: join(PROJECT_FOLDER, FOLDER) });
      if (found.error !== undefined) skip('promtool is not installed here');
      expect(found.status, found.stdout + found.stderr).toBe(0);
    };
    run('check', 'rules', 'alerts.yaml', 'recording.yaml');
    run('check', 'config', '--syntax-only', 'prometheus.yaml');
    run('test', 'rules', 'alerts.test.yaml', 'slow-alerts.test.yaml');
  }, 300_000);

  it('is what the Prometheus operator is given', () => {
    const files = ['recording', 'alerts'].map((name) => readProjectFile(`${FOLDER}/${name}.yaml`));
    expect(readProjectFile('k8s/components/monitoring/prometheus-rule.yaml')).toBe(prometheusRule(files));
  });

  it('is routed by what Alertmanager takes: pages to who is on call, tickets to the queue', ({ skip }) => {
    const config = join(PROJECT_FOLDER, FOLDER, 'alertmanager.yaml');
    const route = (severity: string): string => {
      const found = spawnSync(
        'amtool',
        ['config', 'routes', 'test', `--config.file=${config}`, `severity=${severity}`],
        {
          encoding: 'utf8',
        },
      );
      if (found.error !== undefined) skip('amtool is not installed here');
      expect(found.status, found.stderr).toBe(0);
      return found.stdout.trim();
    };
    expect(route('page')).toBe('on-call');
    expect(route('ticket')).toBe('tickets');
  });
});
