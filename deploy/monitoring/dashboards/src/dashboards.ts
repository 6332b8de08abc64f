/** Every file that is made of the dashboards: one for Grafana each, and the config maps that its sidecar looks for. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { galleryAndRecall } from './gallery-and-recall.js';
import { governanceAndErasure } from './governance-and-erasure.js';
import { ingestAndRefusals } from './ingest-and-refusals.js';
import { kafka } from './kafka.js';
import { dashboardOf } from './panels.js';
import { serviceOverview } from './service-overview.js';

export const DASHBOARDS_FOLDER = 'deploy/monitoring/dashboards';
const CONFIG_MAPS = 'k8s/components/monitoring/dashboards.yaml';

/** @param alertRules the text of deploy/monitoring/alerts.yaml @returns by their names, in the order of a first look */
export function dashboards(alertRules: string): ReadonlyMap<string, Dashboard> {
  const alertNames = [...alertRules.matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => name!);
  return new Map(
    [serviceOverview(alertNames), galleryAndRecall, ingestAndRefusals, governanceAndErasure, kafka].map((facts) => [
      facts.name,
      dashboardOf(facts),
    ]),
  );
}

/** @returns texts by path in the project */
export function dashboardFiles(alertRules: string): ReadonlyMap<string, string> {
  const texts = [...dashboards(alertRules)].map(([name, dashboard]) => [name, json(dashboard)] as const);
  return new Map([
    ...texts.map(([name, text]) => [`${DASHBOARDS_FOLDER}/${name}.json`, text] as const),
    [CONFIG_MAPS, texts.map(([name, text]) => configMap(name, text)).join('---\n')],
  ]);
}

function json(dashboard: Dashboard): string {
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

/** One each, so that none comes near what an object may be large. */
function configMap(name: string, text: string): string {
  return [
    '# Generated from deploy/monitoring/dashboards by `npm run generate`: do not edit.',
    'apiVersion: v1',
    'kind: ConfigMap',
    'metadata:',
    `  name: custody-dashboard-${name}`,
    '  labels:',
    "    grafana_dashboard: '1'",
    '  annotations:',
    '    grafana_folder: Custody Face Search',
    'data:',
    `  ${name}.json: |`,
    ...text
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}`),
    '',
  ].join('\n');
}
