/** A real Prometheus with this project's configuration, that looks more often and at processes on this machine. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';

const PROGRAM = 'prometheus';
const READY_WITHIN_MS = 30_000;
const END_WITHIN_MS = 10_000;

/** One line of a panel. Times in seconds since 1970; a value may be NaN, where nothing is divided by nothing. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [timeS: number, value: number])[];
}

type RawPoint = [number, string];
interface RawSeries {
  readonly metric: Record<string, string>;
  readonly value?: RawPoint;
  readonly values?: RawPoint[];
}

/** Services by name, with the addresses of their processes. */
export type Targets = Readonly<Record<'query' | 'ingest' | 'index', readonly string[]>>;

export function prometheusIsInstalled(): boolean {
  return spawnSync(PROGRAM, ['--version']).error === undefined;
}

export class PrometheusServer {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly url: string,
  ) {}

  /**
   * @param monitoringFolder with prometheus.yaml and the rules that it names
   * @throws Error with what it printed, when it does not become ready
   */
  static async start(monitoringFolder: string, targets: Targets, scrapeSeconds: number): Promise<PrometheusServer> {
    const folder = await mkdtemp(join(tmpdir(), 'custody-prometheus-'));
    for (const rules of ['recording.yaml', 'alerts.yaml']) {
      await copyFile(join(monitoringFolder, rules), join(folder, rules));
    }
    const given = await readFile(join(monitoringFolder, 'prometheus.yaml'), 'utf8');
    const config = join(folder, 'prometheus.yaml');
    await writeFile(config, configFor(given, targets, scrapeSeconds));
    const address = `127.0.0.1:${await freePort()}`;
    const child = spawn(
      PROGRAM,
      [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${address}`],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const server = new PrometheusServer(child, folder, `http://${address}`);
    child.stderr.on('data', (chunk: Buffer) => (server.output += chunk.toString()));
    await server.untilReady();
    return server;
  }

  /** What a query gives now. */
  async instant(expr: string): Promise<readonly Series[]> {
    return this.ask('query', { query: expr });
  }

  async range(expr: string, fromS: number, toS: number, stepS: number): Promise<readonly Series[]> {
    return this.ask('query_range', { query: expr, start: fromS, end: toS, step: stepS });
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

  private async ask(path: string, parameters: Readonly<Record<string, string | number>>): Promise<readonly Series[]> {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) body.set(name, String(value));
    const response = await fetch(`${this.url}/api/v1/${path}`, { method: 'POST', body });
    const answer = (await response.json()) as { error?: string; data?: { result: readonly RawSeries[] } };
    if (answer.data === undefined) throw new Error(`${answer.error}: ${parameters['query']}`);
    return answer.data.result.map(({ metric, value, values }) => ({
      labels: metric,
      points: (values ?? [value!]).map(([timeS, text]) => [timeS, Number(text)] as const),
    }));
  }
}

/** @throws Error when the configuration has not what is to be replaced */
function configFor(given: string, targets: Targets, scrapeSeconds: number): string {
  const replaced = (text: string, what: string | RegExp, by: string): string => {
    const result = text.replace(what, by);
    if (result === text) throw new Error(`prometheus.yaml has no ${String(what)}`);
    return result;
  };
  const places = Object.entries({ query: 'query:8080', ingest: 'ingest:8081', index: 'index:8082' }) as [
    keyof Targets,
    string,
  ][];
  const withTargets = places.reduce(
    (text, [service, place]) => replaced(text, place, targets[service].map((address) => `'${address}'`).join(', ')),
    given,
  );
  const often = replaced(withTargets, /scrape_interval: \w+/, `scrape_interval: ${scrapeSeconds}s`);
  return replaced(often, /evaluation_interval: \w+/, `evaluation_interval: ${scrapeSeconds}s`);
}
