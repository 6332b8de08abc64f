/** Debian's Prometheus, with the rules of deploy/monitoring, beside the pods. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_FOLDER } from '../conventions/project-files.js';
import { podsOf } from './kubectl.js';

const ADDRESS = '127.0.0.1:20094';
const SCRAPE_SECONDS = 2;
const SERVICE_PORTS = { ingest: 8081, index: 8082, query: 8080, 'audit-sealer': 8080 } as const;

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export class Prometheus {
  private constructor(
    private readonly child: ChildProcess,
    private readonly targetsFile: string,
  ) {}

  static async start(folder: string): Promise<Prometheus> {
    const targetsFile = join(folder, 'targets.json');
    const rules = ['recording.yaml', 'alerts.yaml'].map((name) => join(PROJECT_FOLDER, 'deploy', 'monitoring', name));
    const config = {
      global: { scrape_interval: `${SCRAPE_SECONDS}s`, evaluation_interval: `${SCRAPE_SECONDS}s` },
      rule_files: rules,
      scrape_configs: [
        {
          job_name: 'custody-face-search',
          file_sd_configs: [{ files: [targetsFile], refresh_interval: '1s' }],
        },
      ],
    };
    const configFile = join(folder, 'prometheus.json');
    await writeFile(targetsFile, '[]');
    await writeFile(configFile, JSON.stringify(config));
    const child = spawn(
      'prometheus',
      [`--config.file=${configFile}`, `--storage.tsdb.path=${join(folder, 'tsdb')}`, `--web.listen-address=${ADDRESS}`],
      { stdio: 'ignore' },
    );
    const prometheus = new Prometheus(child, targetsFile);
    for (let tries = 0; !(await prometheus.isReady()); tries++) {
      if (tries === 100 || child.exitCode !== null) throw new Error('Prometheus has not started');
      await pause(200);
    }
    return prometheus;
  }

  /** Each pod that there is now, under the label that the rules expect. @returns how many */
  async watchEveryPod(): Promise<number> {
    const groups = await Promise.all(
      Object.entries(SERVICE_PORTS).map(async ([service, port]) => ({
        labels: { service },
        targets: (await podsOf(service)).map(({ status }) => `${status.podIP}:${port}`),
      })),
    );
    await writeFile(this.targetsFile, JSON.stringify(groups));
    return groups.flatMap(({ targets }) => targets).length;
  }

  async query(expression: string): Promise<Series[]> {
    const response = await fetch(`http://${ADDRESS}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const { data, error } = (await response.json()) as {
      data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
      error?: string;
    };
    if (data === undefined) throw new Error(`${expression}: ${error}`);
    return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** Names of the alerts that fire now. */
  async firing(): Promise<string[]> {
    const series = await this.query('ALERTS{alertstate="firing"}');
    return [...new Set(series.map(({ metric }) => metric['alertname']!))].toSorted();
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }

  private async isReady(): Promise<boolean> {
    return fetch(`http://${ADDRESS}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  }
}
