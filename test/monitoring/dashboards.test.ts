/**
 * Every expression of every panel, asked of a real Prometheus that looks at the real services while they are used: each
 * gives data. With DASHBOARD_PICTURES the day is longer, and its panels are drawn into that folder.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { PrometheusForTests, prometheusIsInstalled, type Series } from '#testkit/prometheus-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { readLayoutState } from '../../apps/cli/src/gallery-processes.js';
import { dashboards } from '../../deploy/monitoring/dashboards/src/dashboards.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';
import { DayOfWork } from './day-of-work.js';
import { panelsOf } from './dashboard-panels.js';
import { dashboardPicture, type AnsweredPanel } from './dashboard-picture.js';
import { monitoringConfig } from './monitoring-config.js';

const MONITORING = join(PROJECT_FOLDER, 'deploy', 'monitoring');
const PICTURES = process.env['DASHBOARD_PICTURES'];
const SCRAPE_SECONDS = 1;
const DAY_MS = PICTURES === undefined ? 75_000 : 300_000;
const PAUSE_MS = 700;
/** What destroys the erased in time, with room for a busy machine. */
const DESTRUCTION_MS = 90_000;
const POINTS = 60;

/** Panels that are rightly empty in a system where all is well. */
const EMPTY_WHEN_WELL: Readonly<Record<string, string>> = {
  'service-overview: Which alerts fire?': 'none does',
  'gallery-and-recall: Can every shard write its snapshot?': 'there is a line only once one could not',
  'gallery-and-recall: How far is the gallery of the next model?': 'no other model is prepared',
  'ingest-and-refusals: What does the builder of the next model’s gallery do?': 'no other model is prepared',
};

const installed = prometheusIsInstalled();
if (!installed) process.stderr.write('The dashboards are not tried: prometheus is not installed here.\n');

const all = [...dashboards(await readFile(join(MONITORING, 'alerts.yaml'), 'utf8'))].map(([name, dashboard]) => ({
  name,
  title: dashboard.title!,
  panels: panelsOf(dashboard),
}));
const cases = all.flatMap(({ name, panels }) => panels.map((panel) => ({ of: name, panel, title: panel.title })));

describe.skipIf(!installed)('the dashboards, fed by the system at work', () => {
  let system: RunningSystem | undefined;
  let prometheus: PrometheusForTests | undefined;
  let day: DayOfWork;
  let fromS: number;

  beforeAll(
    async () => {
      const sample = await samplePhotographsForTests();
      system = await RunningSystem.start(
        await RunningSystem.environment({
          SAMPLE_GALLERY: 'off',
          REPLICAS: '2',
          // Searches by the graph, each done again, so that there is recall to show.
          AUTO_EXACT_MAX_TEMPLATES: '0',
          RECALL_SAMPLE_SHARE: '1',
          SNAPSHOT_INTERVAL_SECONDS: '20',
        }),
      );
      const { QUERY_PORT, INGEST_PORT, DATA_DIR } = system.settings;
      const here = (port: number): string => `127.0.0.1:${port}`;
      const targets = {
        query: [here(QUERY_PORT)],
        ingest: [here(INGEST_PORT)],
        index: (await readLayoutState(DATA_DIR))!.ports.map(here),
      };
      prometheus = await PrometheusForTests.start(await monitoringConfig(MONITORING, targets, SCRAPE_SECONDS));
      day = await DayOfWork.prepare(system, sample);
      // What has not been looked at once before it changes has not changed.
      await untilEqual(prometheus, 'count(up == 1)', 4);
      fromS = Date.now() / 1000;
      await day.begin();
      await day.workFor(DAY_MS, PAUSE_MS);
      await untilEqual(prometheus, 'sum(custody_erasure_destruction_seconds_count) > bool 2', 1);
    },
    DAY_MS + DESTRUCTION_MS + 300_000,
  );

  afterAll(async () => {
    await prometheus?.close();
    await system?.stopAndForget();
  });

  /** What Grafana would put for its variables: everything chosen, rates over four looks and more. */
  function asked(expr: string): string {
    const passedS = Math.ceil(Date.now() / 1000 - fromS);
    return expr
      .replaceAll('$instance', '.*')
      .replaceAll('$__rate_interval', PICTURES === undefined ? '30s' : '60s')
      .replaceAll('$__range', `${passedS}s`);
  }

  async function answered(panel: (typeof cases)[number]['panel']): Promise<AnsweredPanel> {
    const toS = Date.now() / 1000;
    const answers = panel.queries.map(async ({ expr, legend }) => ({
      legend,
      series:
        panel.type === 'stat'
          ? await prometheus!.instant(asked(expr))
          : await prometheus!.range(asked(expr), fromS, toS, (toS - fromS) / POINTS),
    }));
    return { panel, answers: await Promise.all(answers) };
  }

  const hasData = (series: readonly Series[]): boolean =>
    series.some(({ points }) => points.some(([, value]) => Number.isFinite(value)));

  test('are filled by work that went as people expect', () => {
    expect(day.unexpected).toEqual([]);
  });

  test.each(cases)('$of: $title has data for each of its expressions', async ({ of, panel, title }) => {
    const { answers } = await answered(panel);
    for (const [i, { series }] of answers.entries()) {
      const { expr } = panel.queries[i]!;
      if (`${of}: ${title}` in EMPTY_WHEN_WELL) expect(series, expr).toEqual([]);
      else expect(hasData(series), asked(expr)).toBe(true);
    }
  });

  test('have no reason for being empty that belongs to no panel', () => {
    const names = new Set(cases.map(({ of, title }) => `${of}: ${title}`));
    expect(Object.keys(EMPTY_WHEN_WELL).filter((name) => !names.has(name))).toEqual([]);
  });

  test.skipIf(PICTURES === undefined)('are drawn', async () => {
    const folder = join(PROJECT_FOLDER, PICTURES!);
    await mkdir(folder, { recursive: true });
    for (const { name, title, panels } of all) {
      const drawn = await Promise.all(panels.map(answered));
      await writeFile(join(folder, `${name}.svg`), dashboardPicture(title, drawn));
    }
  });
});

async function untilEqual(prometheus: PrometheusForTests, expr: string, value: number): Promise<void> {
  const deadlineMs = Date.now() + DESTRUCTION_MS;
  for (;;) {
    const found = await prometheus.value(expr);
    if (found === value) return;
    if (Date.now() > deadlineMs) throw new Error(`${expr} is ${found}, not ${value}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
