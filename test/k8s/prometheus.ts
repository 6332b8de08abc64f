/** Debian's Prometheus, with the rules of deploy/monitoring, beside the pods. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PrometheusForTests } from '#testkit/prometheus-for-tests.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';
import { podsOf } from './kubectl.js';

const SCRAPE_SECONDS = 2;
const SERVICE_PORTS = { ingest: 8081, index: 8082, query: 8080, 'audit-sealer': 8080 } as const;

/** Prometheus, and the pods that it looks at. */
export interface WatchedPods {
  readonly prometheus: PrometheusForTests;
  /** Each pod that there is now, under the label that the rules expect. @returns how many */
  watchEveryPod(): Promise<number>;
}

/** @param folder of which it reads where the pods are */
export async function startPrometheus(folder: string): Promise<WatchedPods> {
  const targetsFile = join(folder, 'targets.json');
  const rules = ['recording.yaml', 'alerts.yaml'].map((name) => join(PROJECT_FOLDER, 'deploy', 'monitoring', name));
  await writeFile(targetsFile, '[]');
  const prometheus = await PrometheusForTests.start(
    JSON.stringify({
      global: { scrape_interval: `${SCRAPE_SECONDS}s`, evaluation_interval: `${SCRAPE_SECONDS}s` },
      rule_files: rules,
      scrape_configs: [
        {
          job_name: 'custody-face-search',
          file_sd_configs: [{ files: [targetsFile], refresh_interval: '1s' }],
        },
      ],
    }),
  );
  return {
    prometheus,
    watchEveryPod: async () => {
      const groups = await Promise.all(
        Object.entries(SERVICE_PORTS).map(async ([service, port]) => ({
          labels: { service },
          targets: (await podsOf(service)).map(({ status }) => `${status.podIP}:${port}`),
        })),
      );
      await writeFile(targetsFile, JSON.stringify(groups));
      return groups.flatMap(({ targets }) => targets).length;
    },
  };
}
