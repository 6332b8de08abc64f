/**
 * What every service's process does: serve health and metrics from the first moment, log a crash and end (a supervisor
 * starts it again), and on SIGTERM finish what is under way before it goes.
 */
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { HttpException, Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import { Health } from './health.js';
import { HttpProblem } from './http-status.js';
import { nestLogger, type Log } from './log.js';
import { Metrics } from './metrics.js';
import { OperationsController } from './operations.controller.js';
import { ProblemFilter, problemText } from './problem.filter.js';
import { isTracing } from './spans.js';
import { tracedRequests } from './traced-requests.js';

/**
 * Longer than balancers keep a connection that is idle (a minute), so that it is them who close it: a request that they
 * send while this end closes would be lost. Node's own 5 s are shorter.
 */
const KEEP_ALIVE_MS = 75_000;
/** Below the 30 s that Kubernetes gives a pod. */
const SHUTDOWN_MS_MAX = 25_000;
/**
 * For answers that are under way when the drain is over: as long as nearly everything waits for Kafka. After the longest
 * drain, it leaves 5 s of {@link SHUTDOWN_MS_MAX} to the steps that follow: a snapshot and offsets count for more than a
 * download that can be asked for again.
 */
const CLOSE_MS_MAX = 5_000;
/** For whoever sent what cannot be read to see the answer; then nothing is kept for them. */
const UNREADABLE_LINGER_MS = 2_000;
/** The supervisor's broker ends at the same time, so there may be nobody left to finish anything with. */
const ORPHAN_SHUTDOWN_MS_MAX = 8_000;

/** Steps to take when the process ends, last registered first. */
export class Shutdown {
  private readonly steps: { name: string; run: () => Promise<void> | void }[] = [];
  private running: Promise<void> | undefined;

  constructor(private readonly log: Log) {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        log.info('shutdown-requested', { signal });
        void this.run().then(() => process.exit(0));
      });
    }
    // A local supervisor that is gone, however it went, takes its services with it.
    process.once('disconnect', () => {
      setTimeout(() => process.exit(1), ORPHAN_SHUTDOWN_MS_MAX).unref();
      void this.run().then(() => process.exit(0));
    });
    const crash = (kind: string) => (thrown: unknown) => {
      log.error('crashed', {
        kind,
        error: describeError(thrown),
        stack: thrown instanceof Error ? thrown.stack : undefined,
      });
      process.exit(1);
    };
    process.on('uncaughtException', crash('uncaught-exception'));
    process.on('unhandledRejection', crash('unhandled-rejection'));
  }

  /** Whatever waits for something that is being closed now will be told so: that is no reason to end at once. */
  get begun(): boolean {
    return this.running !== undefined;
  }

  before(name: string, run: () => Promise<void> | void): void {
    this.steps.push({ name, run });
  }

  run(): Promise<void> {
    this.running ??= this.runSteps();
    return this.running;
  }

  private async runSteps(): Promise<void> {
    setTimeout(() => {
      this.log.error('shutdown-too-slow', { afterMs: SHUTDOWN_MS_MAX });
      process.exit(1);
    }, SHUTDOWN_MS_MAX).unref();
    for (const step of this.steps.reverse()) {
      try {
        await step.run();
      } catch (error) {
        this.log.error('shutdown-step-failed', { step: step.name, error: describeError(error) });
      }
    }
    this.log.info('stopped');
  }
}

/** Stops the process because of something that it cannot mend: the supervisor decides what comes next. */
export function endBecause(log: Log, event: string): (error: unknown) => void {
  return (error) => {
    log.error(event, { error: describeError(error), code: error instanceof CodedError ? error.code : undefined });
    process.exit(1);
  };
}

/** Health and metrics, which each service's module imports. */
@Module({})
export class OperationsModule {
  static for(health: Health, metrics: Metrics): DynamicModule {
    return {
      module: OperationsModule,
      controllers: [OperationsController],
      providers: [
        { provide: Health, useValue: health },
        { provide: Metrics, useValue: metrics },
      ],
    };
  }
}

/**
 * Starts the HTTP server of a service.
 *
 * @returns its base URL, and how it is stopped: readiness goes first, then for `drainSeconds` whoever still asks is
 *   answered and told to come back on another connection, which a balancer makes to another replica; then it closes,
 *   and after `closeMsMax` cuts off whoever is still sending or reading
 * @throws Failure PORT_IN_USE naming the port and the setting
 */
export async function serveHttp(
  module: DynamicModule,
  options: {
    readonly host: string;
    readonly port: number;
    readonly portSetting: string;
    readonly log: Log;
    readonly configure?: (app: NestExpressApplication) => unknown;
    /** False where handlers read bodies themselves: else small ones are read, before it is known who asks. */
    readonly parsesBodies?: boolean;
    readonly closeMsMax?: number;
  },
): Promise<{ url: string; stop: (health: Health, drainSeconds: number) => Promise<void> }> {
  const app = await NestFactory.create<NestExpressApplication>(module, {
    logger: nestLogger(options.log),
    abortOnError: false,
    bodyParser: options.parsesBodies ?? true,
  });
  app.disable('x-powered-by');
  app.useGlobalFilters(new ProblemFilter(options.log));
  if (isTracing()) app.use(tracedRequests);
  let draining = false;
  const unanswered = new Set<ServerResponse>();
  app.use((_request: unknown, response: ServerResponse, next: () => void) => {
    if (draining) response.setHeader('Connection', 'close');
    unanswered.add(response);
    response.once('close', () => unanswered.delete(response));
    next();
  });
  options.configure?.(app);
  const server = app.getHttpServer();
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on('clientError', answerUnreadable);
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  try {
    await app.listen(options.port, options.host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new Failure(
      'PORT_IN_USE',
      `Port ${options.port} is in use: set ${options.portSetting} to a free one.`,
      false,
      {
        cause: error,
      },
    );
  }
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}`,
    stop: async (health, drainSeconds) => {
      health.drain();
      draining = true;
      // Else their connections are kept, and hold up the end until they time out.
      for (const response of unanswered) if (!response.headersSent) response.setHeader('Connection', 'close');
      await pause(drainSeconds * 1000);
      const late = setTimeout(() => {
        options.log.warn('connections-cut', { connections: connections.size, unanswered: unanswered.size });
        for (const socket of connections) socket.destroy();
      }, options.closeMsMax ?? CLOSE_MS_MAX);
      try {
        await app.close();
      } finally {
        clearTimeout(late);
      }
    },
  };
}

/** What Node itself cannot read as HTTP has no response yet; it leaves as a problem like everything else. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = UNREADABLE[error.code ?? ''] ?? 400;
  const text = problemText(new HttpProblem(new HttpException('This cannot be read as a request over HTTP.', status)));
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'Connection: close',
      'Content-Type: application/problem+json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(text)}`,
      '',
      text,
    ].join('\r\n'),
  );
  // Else it is kept for as long as the other end likes, and what is held for its request with it.
  const over = setTimeout(() => socket.destroy(), UNREADABLE_LINGER_MS).unref();
  socket.once('close', () => clearTimeout(over));
}

const UNREADABLE: Readonly<Record<string, number>> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 };
