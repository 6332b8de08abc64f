/**
 * The face pipeline on several cores: a few processes, each with an engine of its own, fed from one bounded queue, in
 * which a picture that a person waits for in the street goes before those that came from a queue.
 *
 * Processes, not threads, for two reasons. Inference blocks the thread that calls it (measured: `run` of
 * onnxruntime-node 1.30 works where it is called), and its sessions are not safe in several threads of one process
 * (onnxruntime issues 24486, 25325). And pictures come from outside: whatever one does to a decoder, it ends a process
 * that is replaced, and the service and the pictures beside it go on.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Failure, Refusal } from '#domain/errors.js';
import type { FaceChoice } from '#domain/face.js';
import type { ModelId } from '#domain/ids.js';
import { engineBusy, type FaceStage } from './face-engine.js';
import {
  FORGET_PADDING,
  unpackError,
  type ForgetRequest,
  type ProcessAnswer,
  type ProcessedFace,
  type ProcessRequest,
} from './face-protocol.js';
import { stripJpeg } from './jpeg-strip.js';

/** `operator`: somebody stands there and waits. `queue`: it came from a log, and can wait for its turn. */
export type PicturePriority = 'operator' | 'queue';

export interface FacePoolOptions {
  /** A verified model pack. */
  readonly packFolder: string;
  /** As many as cores that may be used. At least 1. */
  readonly processes: number;
  /** Pictures of one priority that may wait before ENGINE_BUSY. */
  readonly waitingMax?: number;
  readonly observeStage?: (stage: FaceStage, seconds: number) => void;
  /** Told when a process ended that should not have. */
  readonly onProcessLost?: (how: string) => void;
}

/** Several seconds of work for one core; whoever would wait longer is told so at once. */
const WAITING_MAX = 256;
/** One is worked on; the next is there when it is done. */
const IN_FLIGHT_PER_PROCESS = 2;
/** Beyond the decoder's own limit; a picture that takes longer has hung something. */
const PICTURE_MS_MAX = 60_000;
/** A picture whose process died is tried once more, alone. */
const ATTEMPTS_MAX = 2;
const RESTART_AFTER_MS = 500;
/** Nothing to do for so long: what is left of the pictures is given back then, and not when the next ones come. */
const FORGET_AFTER_MS = 500;
/** A process that was let go and has nothing to do ends at once; one that hangs in native code must not hold up the end. */
const EXIT_MS_MAX = 2_000;
/**
 * What native code that goes wrong sends to itself (SIGTRAP: glib's assertions, under libvips). Every other end, by the
 * kernel for want of memory, by somebody's hand, says nothing of the picture.
 */
const CRASH_SIGNALS: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']);

export interface ProcessOptions {
  /** Whether the upright JPEG is wanted, for the image store. */
  readonly uprightJpeg?: boolean;
  /** Before the pictures of a queue, whenever those came; `queue` when it is not said. */
  readonly priority?: PicturePriority;
}

interface Picture {
  readonly request: ProcessRequest;
  readonly resolve: (result: ProcessedFace) => void;
  readonly reject: (error: unknown) => void;
  attempts: number;
  /** Attempts that ended with a crash of the process, or at our own limit. */
  crashes: number;
  timer?: NodeJS.Timeout;
}

interface Member {
  readonly child: ChildProcess;
  readonly inFlight: Map<number, Picture>;
  /** The picture that took too long, for which the process was killed. */
  overdue?: Picture;
  /** It has had nothing to do since. */
  idle?: NodeJS.Timeout;
}

export class FacePool {
  readonly #members = new Set<Member>();
  /**
   * What is taken first comes first: a picture whose process was lost, so that the room that it needs for itself is not
   * taken again and again. Each is bounded apart: a queue that is full must not turn away the officer in the street.
   */
  readonly #waiting: Readonly<Record<'again' | PicturePriority, Picture[]>> = { again: [], operator: [], queue: [] };
  #lastId = 0;
  #closing = false;
  #onIdle: (() => void) | undefined;

  private constructor(
    readonly modelId: ModelId,
    readonly dimension: number,
    private readonly options: FacePoolOptions,
  ) {}

  /** Resolves when every process is ready. @throws Failure MODEL_PACK_…, FACE_PROCESS_NOT_STARTED */
  static async open(options: FacePoolOptions): Promise<FacePool> {
    const starting = Array.from({ length: options.processes }, () => startProcess(options.packFolder));
    const settled = await Promise.allSettled(starting);
    const started = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      for (const { child } of started) child.kill('SIGKILL');
      throw failed.reason;
    }
    const { modelId, dimension } = started[0]!;
    const pool = new FacePool(modelId as ModelId, dimension, options);
    for (const { child } of started) pool.#adopt(child);
    return pool;
  }

  /** Pictures being worked on and waiting, for metrics. */
  get load(): { readonly inFlight: number; readonly waiting: number } {
    let inFlight = 0;
    for (const member of this.#members) inFlight += member.inFlight.size;
    const { again, operator, queue } = this.#waiting;
    return { inFlight, waiting: again.length + operator.length + queue.length };
  }

  /**
   * The whole path, for an image to enrol and for a probe alike.
   *
   * @param choice which face is meant; undefined refuses an image with more than one
   * @throws Refusal of decodeImage, of chooseFace, FACE_UNUSABLE, IMAGE_BREAKS_DECODER
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED, IMAGE_DECODE_TIMEOUT, EMBEDDING_INVALID, FACE_PIPELINE_FAILED,
   *   FACE_PROCESS_LOST
   */
  process(
    bytes: Uint8Array,
    choice: FaceChoice | undefined,
    { uprightJpeg = false, priority = 'queue' }: ProcessOptions = {},
  ): Promise<ProcessedFace> {
    if (this.#closing) return Promise.reject(engineClosed());
    const waiting = this.#waiting[priority];
    if (waiting.length >= (this.options.waitingMax ?? WAITING_MAX)) return Promise.reject(engineBusy());
    return new Promise((resolve, reject) => {
      const request = { id: ++this.#lastId, bytes, choice, uprightJpeg };
      waiting.push({ request, resolve, reject, attempts: 0, crashes: 0 });
      this.#dispatch();
    });
  }

  /** Ends what is under way, refuses what waits, and resolves when the processes have gone. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const waiting of Object.values(this.#waiting)) {
      for (const picture of waiting.splice(0)) picture.reject(engineClosed());
    }
    if (this.load.inFlight > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    const members = [...this.#members];
    this.#members.clear();
    await Promise.all(members.map(({ child }) => letGo(child)));
  }

  #adopt(child: ChildProcess): void {
    const member: Member = { child, inFlight: new Map() };
    this.#members.add(member);
    child.on('message', (answer: ProcessAnswer) => this.#settle(member, answer));
    child.once('exit', (code, signal) => this.#lose(member, code, signal));
    // It may have gone since it was ready, while others were started; nobody would be told any more.
    const { exitCode, signalCode, connected } = child;
    if (exitCode !== null || signalCode !== null || !connected) this.#lose(member, exitCode, signalCode);
    this.#dispatch();
  }

  #dispatch(): void {
    for (;;) {
      const waiting = Object.values(this.#waiting).find(({ length }) => length > 0);
      if (waiting === undefined) return;
      const next = waiting[0]!;
      const alone = next.attempts > 0;
      const member = this.#memberWithRoom(alone);
      if (member === undefined) return;
      waiting.shift();
      this.#send(member, next);
    }
  }

  /** The one with the least to do. A picture that may have killed a process gets one to itself. */
  #memberWithRoom(alone: boolean): Member | undefined {
    let best: Member | undefined;
    for (const member of this.#members) {
      const busyWithSuspect = [...member.inFlight.values()].some((picture) => picture.attempts > 1);
      if (busyWithSuspect || member.inFlight.size >= (alone ? 1 : IN_FLIGHT_PER_PROCESS)) continue;
      if (best === undefined || member.inFlight.size < best.inFlight.size) best = member;
    }
    return best;
  }

  #send(member: Member, picture: Picture): void {
    clearTimeout(member.idle);
    picture.attempts++;
    member.inFlight.set(picture.request.id, picture);
    picture.timer = setTimeout(() => {
      member.overdue = picture;
      member.child.kill('SIGKILL');
    }, PICTURE_MS_MAX);
    // A channel that is closing says so by the exit that follows.
    member.child.send(picture.request, () => undefined);
  }

  #settle(member: Member, answer: ProcessAnswer): void {
    if (answer.kind !== 'processed' && answer.kind !== 'error') return;
    const picture = member.inFlight.get(answer.id);
    if (picture === undefined) return;
    member.inFlight.delete(answer.id);
    clearTimeout(picture.timer);
    if (answer.kind === 'error') {
      picture.reject(unpackError(answer.error));
    } else {
      for (const stage of ['decode', 'detect', 'embed'] as const) {
        this.options.observeStage?.(stage, answer.result.timingsMs[stage] / 1000);
      }
      const { uprightJpeg } = answer.result;
      // What is only taken out of the bytes that are here need not travel back.
      const jpeg = uprightJpeg === 'strip' ? stripJpeg(picture.request.bytes)! : uprightJpeg;
      picture.resolve({ ...answer.result, uprightJpeg: jpeg });
    }
    this.#dispatch();
    if (member.inFlight.size === 0) {
      member.idle = setTimeout(() => forget(member), FORGET_AFTER_MS).unref();
    }
    if (this.#closing && this.load.inFlight === 0) this.#onIdle?.();
  }

  #lose(member: Member, code: number | null, signal: NodeJS.Signals | null): void {
    clearTimeout(member.idle);
    if (!this.#members.delete(member)) return;
    const how = signal ?? `code ${code}`;
    const crashed = signal !== null && CRASH_SIGNALS.has(signal);
    for (const picture of member.inFlight.values()) {
      clearTimeout(picture.timer);
      if (crashed || picture === member.overdue) picture.crashes++;
      if (picture.crashes >= ATTEMPTS_MAX) picture.reject(breaksDecoder(how));
      else if (picture.attempts >= ATTEMPTS_MAX) picture.reject(processLost(how));
      else this.#waiting.again.push(picture);
    }
    this.options.onProcessLost?.(how);
    if (this.#closing) {
      this.#onIdle?.();
      return;
    }
    this.#dispatch();
    this.#replace();
  }

  #replace(): void {
    startProcess(this.options.packFolder).then(
      ({ child }) => {
        if (this.#closing) child.disconnect();
        else this.#adopt(child);
      },
      (error: unknown) => {
        this.options.onProcessLost?.(String(error));
        if (!this.#closing) setTimeout(() => this.#replace(), RESTART_AFTER_MS).unref();
      },
    );
  }
}

function forget({ child }: Member): void {
  const request: ForgetRequest = { forget: FORGET_PADDING };
  // A channel that is closing says so by the exit that follows.
  child.send(request, () => undefined);
}

/** Resolves when it has gone. */
async function letGo(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_MS_MAX);
  if (child.connected) child.disconnect();
  await gone;
  clearTimeout(timer);
}

interface StartedProcess {
  readonly child: ChildProcess;
  readonly dimension: number;
  readonly modelId: string;
}

function startProcess(packFolder: string): Promise<StartedProcess> {
  const fromSource = import.meta.url.endsWith('.ts');
  const entry = fromSource ? '../../../dist/libs/face/src/face-process.js' : './face-process.js';
  const child = fork(fileURLToPath(new URL(entry, import.meta.url)), [packFolder], {
    serialization: 'advanced',
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
      const how = `a face process ended at its start (${signal ?? `code ${code}`})`;
      reject(notStarted(new Error(how)));
    };
    child.once('exit', onExit);
    // Without a listener, a process that cannot be made would end this one. It stays for whatever the channel meets
    // later: the exit that follows is what counts.
    child.on('error', (cause) => reject(notStarted(cause)));
    child.once('message', (answer: ProcessAnswer) => {
      child.off('exit', onExit);
      if (answer.kind === 'ready') resolve({ child, dimension: answer.dimension, modelId: answer.modelId });
      else {
        child.disconnect();
        reject(answer.kind === 'not-ready' ? unpackError(answer.error) : new Error('unexpected answer'));
      }
    });
  });
}

function notStarted(cause: Error): Failure {
  return new Failure('FACE_PROCESS_NOT_STARTED', 'The face pipeline could not be started.', true, { cause });
}

function processLost(how: string): Failure {
  return new Failure('FACE_PROCESS_LOST', 'The processes that worked on the image were ended.', true, {
    cause: new Error(how),
  });
}

function engineClosed(): Failure {
  return new Failure('ENGINE_CLOSED', 'The service is shutting down.', true);
}

function breaksDecoder(how: string): Refusal {
  return new Refusal(
    'IMAGE_BREAKS_DECODER',
    'The image made the decoder fail twice, alone the second time.',
    undefined,
    {
      cause: new Error(how),
    },
  );
}
