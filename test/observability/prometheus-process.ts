/** A real Prometheus that scrapes the query service every second, and keeps exemplars. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';
import { eventually } from '#testkit/kafka-test-helpers.js';

interface Exemplar {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: string;
}

export class PrometheusProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly url: string,
  ) {}

  static async start(scrapedPort: number): Promise<PrometheusProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'custody-prometheus-'));
    const config = [
      'global: { scrape_interval: 1s }',
      `scrape_configs: [{ job_name: query, static_configs: [{ targets: ["127.0.0.1:${scrapedPort}"] }] }]`,
    ];
    await writeFile(join(folder, 'prometheus.yml'), `${config.join('\n')}\n`);
    const port = await freePort();
    const child = spawn(
      'prometheus',
      [
        '--enable-feature=exemplar-storage',
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    const prometheus = new PrometheusProcess(child, folder, `http://127.0.0.1:${port}`);
    await eventually(async () => {
      if (!(await fetch(`${prometheus.url}/-/ready`)).ok) throw new Error('not ready');
    });
    return prometheus;
  }

  async exemplars(series: string): Promise<readonly Exemplar[]> {
    const around = `start=${Date.now() / 1000 - 600}&end=${Date.now() / 1000 + 60}`;
    const { data } = await this.ask<readonly { readonly exemplars: readonly Exemplar[] }[]>(
      `query_exemplars?query=${encodeURIComponent(series)}&${around}`,
    );
    return data.flatMap(({ exemplars }) => exemplars);
  }

  async value(expression: string): Promise<number> {
    const { data } = await this.ask<{ readonly result: readonly { readonly value: readonly [number, string] }[] }>(
      `query?query=${encodeURIComponent(expression)}`,
    );
    return Number(data.result[0]?.value[1]);
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
    await rm(this.folder, { recursive: true, force: true });
  }

  private async ask<T>(path: string): Promise<{ readonly data: T }> {
    return (await (await fetch(`${this.url}/api/v1/${path}`)).json()) as { readonly data: T };
  }
}
