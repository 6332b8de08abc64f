/** The three services over a broker that lets nobody do what no ACL permits, each as its own principal. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureLocalKeys, signLocalToken } from '../../apps/cli/src/local-keys.js';
import { PRINCIPALS, type OwnPrincipal, type Principal } from '#contracts/access.js';
import type { Role } from '#domain/identity.js';
import { freePort } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { readSettings, type Settings } from '#platform/settings.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackFolderForTests } from '#testkit/model-pack-for-tests.js';
import { SecureBroker, type ShownBy } from '#testkit/secure-broker.js';

const DIST = join(import.meta.dirname, '..', '..', 'dist');
/** Both ways to show who one is are used. */
const SERVICES = {
  ingest: { principal: 'custody-ingest', by: 'password' },
  index: { principal: 'custody-index', by: 'certificate' },
  query: { principal: 'custody-query', by: 'password' },
} as const satisfies Record<string, { principal: OwnPrincipal; by: ShownBy }>;
export type Service = keyof typeof SERVICES;

export interface CommandResult {
  readonly code: number;
  readonly output: string;
}

export class SecuredSystem {
  private readonly children = new Map<Service, ChildProcess>();
  private readonly output = new Map<Service, string>();
  private readonly clients: KafkaClient[] = [];

  private constructor(
    readonly broker: SecureBroker,
    /** Who may do everything. */
    readonly admin: KafkaClient,
    private readonly environment: Readonly<Record<string, string>>,
    readonly settings: Settings,
  ) {}

  /** A broker without ACLs and topics, and a folder with keys: nothing runs yet. */
  static async prepare(): Promise<SecuredSystem> {
    const broker = await SecureBroker.start(PRINCIPALS, { logsDecisions: true });
    const environment = {
      DATA_DIR: await mkdtemp(join(tmpdir(), 'custody-secured-')),
      MODEL_PACK_DIR: await modelPackFolderForTests(),
      QUERY_PORT: String(await freePort()),
      INGEST_PORT: String(await freePort()),
      INDEX_PORT: String(await freePort()),
      LOG_LEVEL: 'debug',
    };
    const settings = readSettings(environment);
    await ensureLocalKeys(settings);
    return new SecuredSystem(broker, clientForTests(broker.adminBrokers), environment, settings);
  }

  url(service: Service): string {
    const { INGEST_PORT, INDEX_PORT, QUERY_PORT } = this.settings;
    return `http://127.0.0.1:${{ ingest: INGEST_PORT, index: INDEX_PORT, query: QUERY_PORT }[service]}`;
  }

  start(service: Service): void {
    const { principal, by } = SERVICES[service];
    const child = spawn(process.execPath, [join(DIST, 'apps', service, 'src', 'main.js')], {
      env: { ...process.env, ...this.environment, ...this.broker.environment(principal, by) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.children.set(service, child);
    const hear = (chunk: Buffer): void => void this.output.set(service, this.said(service) + chunk.toString());
    child.stdout!.on('data', hear);
    child.stderr!.on('data', hear);
  }

  /** Every line that the service has logged. */
  said(service: Service): string {
    return this.output.get(service) ?? '';
  }

  async readiness(service: Service): Promise<{ readonly status: number; readonly waitingFor: Record<string, string> }> {
    const response = await fetch(`${this.url(service)}/health/ready`);
    const { waitingFor } = (await response.json()) as { waitingFor?: Record<string, string> };
    return { status: response.status, waitingFor: waitingFor ?? {} };
  }

  async untilReady(service: Service): Promise<void> {
    await eventually(
      async () => {
        if (this.children.get(service)!.exitCode !== null) throw new Error(`it ended:\n${this.said(service)}`);
        const { status, waitingFor } = await this.readiness(service);
        if (status !== 200) throw new Error(`${service} waits for ${JSON.stringify(waitingFor)}`);
      },
      { timeoutMs: 120_000, intervalMs: 200 },
    );
  }

  async stop(service: Service): Promise<void> {
    const child = this.children.get(service);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }

  /** Runs `custody …` as a principal, or as the administrator. */
  async custody(as: Principal | 'administrator', ...args: string[]): Promise<CommandResult> {
    const kafka =
      as === 'administrator'
        ? { KAFKA_BROKERS: this.broker.adminBrokers }
        : this.broker.environment(as, as === 'custody-cli' ? 'certificate' : 'password');
    return new Promise((resolve) => {
      const command = [join(DIST, 'apps', 'cli', 'src', 'main.js'), ...args];
      const env = { ...process.env, ...this.environment, LOG_LEVEL: 'error', ...kafka };
      execFile(process.execPath, command, { env }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
      );
    });
  }

  token(role: Role): Promise<string> {
    return signLocalToken(this.settings, [role], `test-${role}`);
  }

  /** A client of this principal; closed at the end. */
  clientOf(principal: Principal, by: ShownBy = 'password'): KafkaClient {
    const client = new KafkaClient({
      brokers: [this.broker.brokersFor(by)],
      clientId: principal,
      log: silentLog,
      security: this.broker.security(principal, by),
    });
    this.clients.push(client);
    return client;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
    for (const service of ['query', 'index', 'ingest'] as const) await this.stop(service);
    await this.admin.close();
    await this.broker.dispose();
    await rm(this.settings.DATA_DIR, { recursive: true, force: true });
  }
}
