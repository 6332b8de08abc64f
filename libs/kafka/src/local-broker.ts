/**
 * A real, single-node Kafka broker as a child process: for `npm start` without Docker, and for the tests. It listens on
 * 127.0.0.1 only and keeps its data in a folder, so that a restart finds everything again.
 *
 * It never outlives this process: a small watcher holds the other end of a pipe, and ends the broker when the pipe
 * closes, however this process went.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describeError, Failure } from '#domain/errors.js';
import { backoffMs, pause } from './backoff.js';
import { freePort, isPortFree } from './free-port.js';
import { KafkaClient } from './kafka-client.js';
import type { KafkaLog } from './kafka-record.js';
import { kafkaClassPath } from './local-broker-jars.js';
import { LimitedLogFile } from './limited-log-file.js';

export interface LocalBrokerOptions {
  /** Made when it does not exist. Holds the logs of Kafka, its settings, and `broker.log`. */
  readonly dataFolder: string;
  readonly port: number;
  /** From `resolveKafkaJars`. */
  readonly jarsFolder: string;
  /** Broker settings that replace or extend the ones here. */
  readonly config?: Readonly<Record<string, string>>;
  /** More listeners on this address, by name: a security protocol each. Their settings are in {@link config}. */
  readonly listeners?: Readonly<Record<string, number>>;
  /** Of the controller; a free one when it is left out. The brokers of one cluster must know each other's. */
  readonly controllerPort?: number;
  /** Given to the storage tool with an empty folder. */
  readonly format?: { readonly clusterId?: string; readonly arguments?: readonly string[] };
  readonly javaOptions?: readonly string[];
  /** Each line that the broker says. */
  readonly onLog?: (line: string) => void;
  /** Named in the error when the port is taken. */
  readonly portVariable?: string;
}

const READY_LINE = 'Kafka Server started';
/** 3 s on a quiet machine, 20 s on a loaded one. */
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const FORMAT_TIMEOUT_MS = 60_000;
/** Above the largest custody image (8 MiB), its headers, and the batch around it. */
const MESSAGE_BYTES_MAX = 12 * 1024 * 1024;
const LINES_KEPT_FOR_ERRORS = 20;

const run = promisify(execFile);

export class LocalBroker {
  private readonly exitListeners: ((code: number | null, signal: NodeJS.Signals | null) => void)[] = [];
  private readonly exited: Promise<void>;
  private hasExited = false;

  private constructor(
    /** `host:port`, for a client. */
    readonly brokers: string,
    private readonly process: ChildProcess,
    private readonly watcher: ChildProcess,
  ) {
    this.exited = new Promise((resolve) => {
      process.once('exit', (code, signal) => {
        this.hasExited = true;
        watcher.kill('SIGKILL');
        resolve();
        for (const listener of this.exitListeners) listener(code, signal);
      });
    });
  }

  /**
   * Resolves when the broker answers.
   *
   * @throws Failure PORT_IN_USE, BROKER_NOT_FORMATTED, BROKER_NOT_STARTED
   */
  static async start(options: LocalBrokerOptions): Promise<LocalBroker> {
    const { dataFolder, port } = options;
    if (!(await isPortFree(port))) {
      const variable = options.portVariable ?? 'KAFKA_PORT';
      throw new Failure(
        'PORT_IN_USE',
        `Port ${port} is in use: stop what uses it, or set ${variable} to another port.`,
        false,
      );
    }
    await mkdir(dataFolder, { recursive: true });
    const classPath = await kafkaClassPath(options.jarsFolder);
    const settings = join(dataFolder, 'server.properties');
    await writeFile(settings, properties(options, options.controllerPort ?? (await freePort())));
    if (!existsSync(join(dataFolder, 'logs', 'meta.properties'))) await format(classPath, settings, options.format);
    const logFile = new LimitedLogFile(join(dataFolder, 'broker.log'));
    const child = spawn(
      'java',
      [...JAVA_OPTIONS, ...LOG_OPTIONS, ...(options.javaOptions ?? []), '-cp', classPath, 'kafka.Kafka', settings],
      {
        // A session of its own: Ctrl-C must reach the services first, which still write; `stop` follows.
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: dataFolder,
      },
    );
    const recent: string[] = [];
    const ready = new Promise<void>((resolve, reject) => {
      const hear = (line: string) => {
        logFile.append(line);
        options.onLog?.(line);
        recent.push(line);
        if (recent.length > LINES_KEPT_FOR_ERRORS) recent.shift();
        if (line.includes(READY_LINE)) resolve();
      };
      createInterface({ input: child.stdout }).on('line', hear);
      createInterface({ input: child.stderr }).on('line', hear);
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`the broker ended with ${signal ?? code}`)));
    });
    ready.catch(() => undefined);
    if (child.pid === undefined) throw notStarted(await ready.catch((error: unknown) => error), recent);
    const broker = new LocalBroker(`127.0.0.1:${port}`, child, endWith(child.pid));
    const late = new AbortController();
    try {
      const timeout = pause(READY_TIMEOUT_MS, late.signal).then(() => {
        if (!late.signal.aborted) throw new Error(`it was not ready within ${READY_TIMEOUT_MS / 1000} s`);
      });
      await Promise.race([ready, timeout]);
      await broker.untilItAnswers();
    } catch (error) {
      await broker.stop();
      throw notStarted(error, recent);
    } finally {
      late.abort();
    }
    return broker;
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Called when the broker has ended, for whatever reason. */
  onExit(listener: (code: number | null, signal: NodeJS.Signals | null) => void): void {
    this.exitListeners.push(listener);
  }

  /** Lets the broker end in order (2 to 3 s), and kills it after 10 s. */
  async stop(): Promise<void> {
    if (this.hasExited) return;
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** As a power cut would: nothing is flushed or closed. */
  async kill9(): Promise<void> {
    if (this.hasExited) return;
    this.process.kill('SIGKILL');
    await this.exited;
  }

  private async untilItAnswers(): Promise<void> {
    const client = new KafkaClient({ brokers: [this.brokers], clientId: 'local-broker', log: SILENT });
    const deadlineMs = Date.now() + READY_TIMEOUT_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        await client.topicAdmin().brokerCount();
        return;
      } catch (error) {
        if (this.hasExited || Date.now() > deadlineMs) throw error;
        await pause(backoffMs(attempt));
      }
    }
  }
}

/** 160 to 240 MB of memory, and a quick start. */
const JAVA_OPTIONS = [
  '-Xms128m',
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Djava.awt.headless=true',
];

/** The cleaner runs each second here, and would say so each time. */
const LOG_OPTIONS = [
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
  '-Dorg.slf4j.simpleLogger.showDateTime=true',
  '-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS',
  '-Dorg.slf4j.simpleLogger.log.kafka.log.LogCleaner=warn',
  '-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log=warn',
];

const SILENT: KafkaLog = { debug() {}, info() {}, warn() {}, error() {} };

/** 16 random bytes. One that begins with a dash, 1 in 64, the format tool takes for an option. */
export function newClusterId(random: () => Buffer = () => randomBytes(16)): string {
  for (;;) {
    const id = random().toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

async function format(classPath: string, settings: string, given: LocalBrokerOptions['format']): Promise<void> {
  const clusterId = given?.clusterId ?? newClusterId();
  const heap = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  try {
    await run(
      'java',
      [
        ...heap,
        '-cp',
        classPath,
        'kafka.tools.StorageTool',
        'format',
        '-t',
        clusterId,
        '-c',
        settings,
        ...(given?.arguments ?? []),
      ],
      {
        timeout: FORMAT_TIMEOUT_MS,
      },
    );
  } catch (error) {
    const text = "Kafka's data folder could not be formatted: check that it is writable, and see the cause.";
    throw new Failure('BROKER_NOT_FORMATTED', text, false, { cause: error });
  }
}

/** Ends the broker when this process is gone: `read` returns when the pipe to it closes. */
function endWith(pid: number): ChildProcess {
  const script = `read -r _; kill -TERM ${pid}; n=0; while kill -0 ${pid} && [ $n -lt 10 ]; do sleep 1; n=$((n+1)); done; kill -KILL ${pid}`;
  const watcher = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  watcher.unref();
  // The pipe must not keep this process alive, nor break it when the watcher is gone.
  watcher.stdin.on('error', () => undefined);
  (watcher.stdin as unknown as { unref?: () => void }).unref?.();
  return watcher;
}

function notStarted(error: unknown, recent: readonly string[]): Failure {
  const last = recent.findLast((line) => /ERROR|FATAL|Exception/.test(line)) ?? recent.at(-1) ?? 'it said nothing';
  const text = `The local Kafka broker did not start: ${describeError(error)}. It said: ${last.slice(0, 300)}`;
  return new Failure('BROKER_NOT_STARTED', text, true, { cause: error });
}

/** Kafka's settings of a single node that holds everything once. */
function properties(options: LocalBrokerOptions, controllerPort: number): string {
  const listeners = Object.entries({ PLAINTEXT: options.port, ...options.listeners });
  const addresses = listeners.map(([name, port]) => `${name}://127.0.0.1:${port}`).join(',');
  const protocols = [...listeners.map(([name]) => `${name}:${name}`), 'CONTROLLER:PLAINTEXT'].join(',');
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `${addresses},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': addresses,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': protocols,
    'log.dirs': join(options.dataFolder, 'logs'),
    'num.partitions': '1',
    'default.replication.factor': '1',
    'min.insync.replicas': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    // After a kill, the broker is let in again only when its former session has ended; 9 s by default.
    'broker.session.timeout.ms': '4000',
    'broker.heartbeat.interval.ms': '1000',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'auto.create.topics.enable': 'false',
    // Each cleaning begins with emptying its buffer: 4 MiB are 150,000 changed keys at a time, of one partition.
    'log.cleaner.backoff.ms': '2000',
    'log.cleaner.dedupe.buffer.size': '4194304',
    // Retention is part of what is promised about queries, so it is looked at more often than every five minutes.
    'log.retention.check.interval.ms': '5000',
    'message.max.bytes': String(MESSAGE_BYTES_MAX),
    'replica.fetch.max.bytes': String(MESSAGE_BYTES_MAX),
    ...options.config,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
