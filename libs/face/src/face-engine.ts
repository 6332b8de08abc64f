/**
 * The face pipeline: bytes → pixels → faces → the one that is meant → its template. Ingest and query use the same
 * engine, so an enrolled face and a probe are always treated alike.
 *
 * One long-lived session per network, because creating and releasing them leaks. Inference blocks the thread that calls
 * it, so a service uses a {@link FacePool} of processes, each with one of these.
 */
import { Failure } from '#domain/errors.js';
import { chooseFace, type DetectedFace, type FaceChoice, type FaceLandmarks } from '#domain/face.js';
import type { ModelId } from '#domain/ids.js';
import { decodeImage, type DecodedImage, type DecodeLimits } from './decode.js';
import { FaceDetector } from './detect.js';
import { EMBEDDER_INPUT_LENGTH, FaceEmbedder } from './embed.js';
import { LANDMARK_INPUT_LENGTH, LandmarkFinder } from './landmarks.js';
import type { ModelPack } from './model-pack.js';
import { judgeQuality, type FaceQuality } from './quality.js';
import { Slots } from './slots.js';

/** Several seconds of work for one core; whoever would wait longer is told so at once. */
const WAITING_MAX = 256;

export type FaceStage = 'decode' | 'detect' | 'embed';

export interface EmbeddedFace {
  /** L2-normalised, finite, length `dimension`. */
  readonly template: Float32Array;
  /** L2 norm before normalising; predicts how useful the image is. */
  readonly embeddingNorm: number;
  readonly landmarks: FaceLandmarks;
  readonly quality: FaceQuality;
}

export interface ProcessedImage {
  readonly image: DecodedImage;
  /** From left to right; a face's index is its place here. */
  readonly faces: readonly DetectedFace[];
  /** Index of the embedded face. */
  readonly chosen: number;
  readonly embedded: EmbeddedFace;
  readonly timingsMs: Readonly<Record<FaceStage, number>>;
}

export interface FaceEngineOptions {
  /** Pictures in flight; the cores that may be used. At least 1. */
  readonly concurrency: number;
  /** Pictures that may wait for their turn before ENGINE_BUSY. */
  readonly waitingMax?: number;
  /** Called at the end of each stage that succeeded. */
  readonly observeStage?: (stage: FaceStage, seconds: number) => void;
}

/** Inputs of the networks for one picture in flight, allocated once. */
interface Scratch {
  readonly detector: Float32Array;
  readonly landmarks: Float32Array;
  readonly embedder: Float32Array;
}

export class FaceEngine {
  readonly #slots: Slots<Scratch>;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly modelId: ModelId,
    private readonly detector: FaceDetector,
    private readonly landmarkFinder: LandmarkFinder,
    private readonly embedder: FaceEmbedder,
    private readonly options: FaceEngineOptions,
  ) {
    const scratch = Array.from({ length: options.concurrency }, () => ({
      detector: new Float32Array(detector.inputLength),
      landmarks: new Float32Array(LANDMARK_INPUT_LENGTH),
      embedder: new Float32Array(EMBEDDER_INPUT_LENGTH),
    }));
    this.#slots = new Slots<Scratch>(scratch, options.waitingMax ?? WAITING_MAX, engineBusy);
  }

  /**
   * @throws Failure MODEL_PACK_UNSUITABLE
   * @throws RangeError when `concurrency` is not a whole number from 1
   */
  static async open(pack: ModelPack, options: FaceEngineOptions): Promise<FaceEngine> {
    if (!Number.isInteger(options.concurrency) || options.concurrency < 1) {
      throw new RangeError(`concurrency is ${options.concurrency}`);
    }
    const { manifest, paths } = pack;
    const detector = await FaceDetector.open(paths.detector, manifest.detector);
    const landmarkFinder = await LandmarkFinder.open(paths.landmarks);
    const embedder = await FaceEmbedder.open(paths.embedder, manifest.embedder);
    return new FaceEngine(pack.modelId, detector, landmarkFinder, embedder, options);
  }

  get dimension(): number {
    return this.embedder.parameters.dimension;
  }

  /** Pictures being worked on and waiting, for metrics. */
  get load(): { readonly inFlight: number; readonly waiting: number } {
    return { inFlight: this.#slots.inUse, waiting: this.#slots.waiting };
  }

  /**
   * @returns from left to right; none is not an error here
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED
   */
  detect(image: DecodedImage): Promise<DetectedFace[]> {
    return this.#inSlot(async (scratch) => (await this.#detect(image, scratch)).result);
  }

  /**
   * @throws Refusal FACE_UNUSABLE
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED, EMBEDDING_INVALID
   */
  embed(image: DecodedImage, face: DetectedFace): Promise<EmbeddedFace> {
    return this.#inSlot(async (scratch) => (await this.#embed(image, face, scratch)).result);
  }

  /**
   * The whole path, for an image to enrol and for a probe alike.
   *
   * @param choice which face is meant; undefined refuses an image with more than one
   * @throws Refusal of decodeImage, of chooseFace, and FACE_UNUSABLE
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED, IMAGE_DECODE_TIMEOUT, EMBEDDING_INVALID
   */
  process(bytes: Uint8Array, choice: FaceChoice | undefined, limits?: DecodeLimits): Promise<ProcessedImage> {
    return this.#inSlot(async (scratch) => {
      const decoded = await this.#timed('decode', () => decodeImage(bytes, limits));
      const image = decoded.result;
      const detected = await this.#detect(image, scratch);
      const faces = detected.result;
      const chosen = chooseFace(faces, image, choice);
      const embedded = await this.#embed(image, faces[chosen]!, scratch);
      const timingsMs = { decode: decoded.ms, detect: detected.ms, embed: embedded.ms };
      return { image, faces, chosen, embedded: embedded.result, timingsMs };
    });
  }

  /** Ends what is under way or waiting, refuses what comes later, and frees the networks. */
  close(): Promise<void> {
    this.#closing ??= this.#slots.drain().then(async () => {
      await this.detector.session.release();
      await this.landmarkFinder.session.release();
      await this.embedder.session.release();
    });
    return this.#closing;
  }

  #detect(image: DecodedImage, scratch: Scratch): Promise<Timed<DetectedFace[]>> {
    return this.#timed('detect', () => this.detector.detect(image, scratch.detector));
  }

  #embed(image: DecodedImage, face: DetectedFace, scratch: Scratch): Promise<Timed<EmbeddedFace>> {
    return this.#timed('embed', async () => {
      const landmarks = await this.landmarkFinder.find(image, face.box, scratch.landmarks);
      const embedding = await this.embedder.embed(image, landmarks, scratch.embedder);
      return { ...embedding, landmarks, quality: judgeQuality(landmarks, embedding.embeddingNorm, face.confidence) };
    });
  }

  #inSlot<T>(work: (scratch: Scratch) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) {
      return Promise.reject(new Failure('ENGINE_CLOSED', 'The service is shutting down.', true));
    }
    return this.#slots.use(work);
  }

  async #timed<T>(stage: FaceStage, work: () => Promise<T>): Promise<Timed<T>> {
    const startedMs = performance.now();
    const result = await work();
    const ms = performance.now() - startedMs;
    this.options.observeStage?.(stage, ms / 1000);
    return { result, ms };
  }
}

interface Timed<T> {
  readonly result: T;
  readonly ms: number;
}

export function engineBusy(): Failure {
  return new Failure('ENGINE_BUSY', 'Too many images are waiting to be processed: try again shortly.', true);
}
