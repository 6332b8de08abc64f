/** A real Prometheus for tests, as the system's packages have it, with whatever it is to watch. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';

const PROGRAM = 'prometheus';
const READY_WITHIN_MS = 30_000;
const END_WITHIN_MS = 10_000;
/** Of the exemplars that are asked for: all that a test can have made. */
const EXEMPLARS_SECONDS = 600;

/** One line of a panel. Times in seconds since 1970; a value may be NaN, where nothing is divided by nothing. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [timeS: number, value: number])[];
}

export interface Exemplar {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: string;
}

type RawPoint = [number, string];
interface RawSeries {
  readonly metric: Record<string, string>;
  readonly value?: RawPoint;
  readonly values?: RawPoint[];
}

export function prometheusIsInstalled(): boolean {
  return spawnSync(PROGRAM, ['--version']).error === undefined;
}

export class PrometheusForTests {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly url: string,
  ) {}

  /**
   * @param config in YAML or JSON; files that it names by their whole path
   * @throws Error with what it printed, when it does not become ready
   */
  static async start(config: string): Promise<PrometheusForTests> {
    const folder = await mkdtemp(join(tmpdir(), 'custody-prometheus-'));
    const file = join(folder, 'prometheus.yaml');
    await writeFile(file, config);
    const address = `127.0.0.1:${await freePort()}`;
    const places = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`];
    const child = spawn(PROGRAM, [...places, `--web.listen-address=${address}`, '--enable-feature=exemplar-storage'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const prometheus = new PrometheusForTests(child, folder, `http://${address}`);
    child.stderr.on('data', (chunk: Buffer) => (prometheus.output += chunk.toString()));
    await prometheus.untilReady();
    return prometheus;
  }

  /** What a query gives now. */
  async instant(expr: string): Promise<readonly Series[]> {
    return this.series('query', { query: expr });
  }

  /** The same, of a query that gives one series; undefined when it gives none. */
  async value(expr: string): Promise<number | undefined> {
    return (await this.instant(expr))[0]?.points[0]?.[1];
  }

  async range(expr: string, fromS: number, toS: number, stepS: number): Promise<readonly Series[]> {
    return this.series('query_range', { query: expr, start: fromS, end: toS, step: stepS });
  }

  async exemplars(expr: string): Promise<readonly Exemplar[]> {
    const nowS = Date.now() / 1000;
    const all = await this.ask<readonly { readonly exemplars: readonly Exemplar[] }[]>('query_exemplars', {
      query: expr,
      start: nowS - EXEMPLARS_SECONDS,
      end: nowS,
    });
    return all.flatMap(({ exemplars }) => exemplars);
  }

  /** Names of the alerts that fire now. */
  async firing(): Promise<readonly string[]> {
    const series = await this.instant('ALERTS{alertstate="firing"}');
    return [...new Set(series.map(({ labels }) => labels['alertname']!))].sort();
  }

  /** Ends it and deletes what it has stored. */
  async close(): Promise<void> {
    if (this.child.exitCode === null) {
      const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
      this.child.kill('SIGTERM');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), END_WITHIN_MS);
      await exited;
      clearTimeout(timer);
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  private async untilReady(): Promise<void> {
    const deadlineMs = Date.now() + READY_WITHIN_MS;
    while (!(await fetch(`${this.url}/-/ready`).catch(() => undefined))?.ok) {
      if (this.child.exitCode !== null || Date.now() > deadlineMs) {
        throw new Error(`Prometheus is not ready:\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  private async series(path: string, parameters: Parameters<typeof this.ask>[1]): Promise<readonly Series[]> {
    const { result } = await this.ask<{ result: readonly RawSeries[] }>(path, parameters);
    return result.map(({ metric, value, values }) => ({
      labels: metric,
      points: (values ?? [value!]).map(([timeS, text]) => [timeS, Number(text)] as const),
    }));
  }

  private async ask<T>(path: string, parameters: Readonly<Record<string, string | number>>): Promise<T> {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) body.set(name, String(value));
    const response = await fetch(`${this.url}/api/v1/${path}`, { method: 'POST', body });
    const { data, error } = (await response.json()) as { error?: string; data?: T };
    if (data === undefined) throw new Error(`${error}: ${parameters['query']}`);
    return data;
  }
}
