/**
 * The face pipeline: bytes → pixels → faces → the one that is meant → its template. Ingest and query use the same
 * engine, so an enrolled face and a probe are always treated alike.
 *
 * One long-lived session per network, because creating and releasing them leaks. Inference blocks the thread that calls
 * it, so a service uses a {@link FacePool} of processes, each with one of these.
 */
import { Failure, Refusal } from '#domain/errors.js';
import {
  chooseFace,
  describeFaces,
  type DetectedFace,
  type FaceChoice,
  type FaceLandmarks,
  type UprightPicture,
} from '#domain/face.js';
import type { FaceQuality } from '#domain/face-quality.js';
import type { ModelId } from '#domain/ids.js';
import { decodeImage, type DecodedImage, type DecodeLimits } from './decode.js';
import { FaceEmbedder } from './embed.js';
import type { FaceFinder, FinderScratch, FoundFace } from './face-finder.js';
import { openFaceFinder } from './open-face-finder.js';
import { giveBack } from './give-back.js';
import { calibrationOf, type ModelPack, type PackCalibration } from './model-pack.js';
import { uprightOrientation, type Orientation } from './orientation.js';
import { judgeQuality, measureFace } from './quality.js';
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
  /** Upright. */
  readonly image: DecodedImage;
  /** What the picture was turned by, beyond what EXIF says. */
  readonly rotation: UprightPicture['rotation'];
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
  readonly finder: FinderScratch;
  readonly embedder: Float32Array;
}

/** What is known of a face is asked for again: by the judges of faces and orientations, and by whoever chooses it. */
interface Known {
  readonly landmarks: Map<FoundFace, FaceLandmarks>;
  readonly embedded: Map<FoundFace, EmbeddedFace>;
}

export class FaceEngine {
  readonly #slots: Slots<Scratch>;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly modelId: ModelId,
    private readonly finder: FaceFinder,
    private readonly embedder: FaceEmbedder,
    private readonly calibration: PackCalibration,
    private readonly options: FaceEngineOptions,
  ) {
    const scratch = Array.from({ length: options.concurrency }, () => ({
      finder: finder.newScratch(),
      embedder: new Float32Array(embedder.inputLength),
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
    const finder = await openFaceFinder(pack);
    const embedder = await FaceEmbedder.open(pack.paths.embedder, pack.manifest.embedder);
    return new FaceEngine(pack.modelId, finder, embedder, calibrationOf(pack), options);
  }

  get dimension(): number {
    return this.embedder.parameters.dimension;
  }

  /** Pictures being worked on and waiting, for metrics. */
  get load(): { readonly inFlight: number; readonly waiting: number } {
    return { inFlight: this.#slots.inUse, waiting: this.#slots.waiting };
  }

  /**
   * The faces of the picture as it is.
   *
   * @returns from left to right; none is not an error here
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED
   */
  detect(image: DecodedImage): Promise<readonly FoundFace[]> {
    return this.#inSlot(async (scratch) => (await this.#detect(image, scratch, nothingKnown())).result);
  }

  /**
   * @param face with its landmarks, when those are known
   * @throws Refusal FACE_UNUSABLE
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED, EMBEDDING_INVALID
   */
  embed(image: DecodedImage, face: FoundFace): Promise<EmbeddedFace> {
    return this.#inSlot(
      async (scratch) => (await this.#timed('embed', () => this.#embed(image, face, scratch, nothingKnown()))).result,
    );
  }

  /**
   * The whole path, for an image to enrol and for a probe alike.
   *
   * @param choice which face is meant; undefined refuses an image with more than one. What an index means does not depend
   *   on the choice
   * @throws Refusal of decodeImage, of chooseFace (with the quality of each face, and the size of the upright picture),
   *   and FACE_UNUSABLE
   * @throws Failure ENGINE_BUSY, ENGINE_CLOSED, IMAGE_DECODE_TIMEOUT, EMBEDDING_INVALID
   */
  process(bytes: Uint8Array, choice: FaceChoice | undefined, limits?: DecodeLimits): Promise<ProcessedImage> {
    return this.#inSlot(async (scratch) => {
      const known = nothingKnown();
      const decoded = await this.#timed('decode', () => decodeImage(bytes, limits));
      let image = decoded.result;
      try {
        const detected = await this.#detect(image, scratch, known);
        // What is spent on other orientations counts as embedding, which most of it is.
        const embedded = await this.#timed('embed', async () => {
          const upright = await this.#upright({ rotation: 0, image, faces: detected.result }, scratch, known);
          ({ image } = upright);
          const chosen = await this.#choose(upright, choice, scratch, known);
          return { upright, chosen, face: await this.#embed(image, upright.faces[chosen]!, scratch, known) };
        });
        const { upright, chosen, face } = embedded.result;
        const timingsMs = { decode: decoded.ms, detect: detected.ms, embed: embedded.ms };
        return { ...upright, chosen, embedded: face, timingsMs };
      } catch (error) {
        giveBack(image.rgb);
        throw error;
      }
    });
  }

  /** Ends what is under way or waiting, refuses what comes later, and frees the networks. */
  close(): Promise<void> {
    this.#closing ??= this.#slots.drain().then(async () => {
      await this.finder.close();
      await this.embedder.session.release();
    });
    return this.#closing;
  }

  #detect(image: DecodedImage, scratch: Scratch, known: Known): Promise<Timed<readonly FoundFace[]>> {
    return this.#timed('detect', () => this.#facesIn(image, scratch, known));
  }

  async #facesIn(image: DecodedImage, scratch: Scratch, known: Known): Promise<readonly FoundFace[]> {
    return this.#certain(image, await this.finder.find(image, scratch.finder), scratch, known);
  }

  /** Without what the detector is unsure of and the embedder sees nobody in. */
  async #certain(
    image: DecodedImage,
    found: readonly FoundFace[],
    scratch: Scratch,
    known: Known,
  ): Promise<readonly FoundFace[]> {
    const { uncertainFaces } = this.calibration;
    if (uncertainFaces === undefined) return found;
    const faces: FoundFace[] = [];
    for (const face of found) {
      const certain = face.confidence >= uncertainFaces.confidenceBelow;
      if (certain || (await this.#normOf(image, face, scratch, known)) >= uncertainFaces.embeddingNormMin) {
        faces.push(face);
      }
    }
    return faces;
  }

  async #upright(first: Orientation, scratch: Scratch, known: Known): Promise<Orientation> {
    const judge = {
      find: (image: DecodedImage) => this.finder.find(image, scratch.finder),
      landmarksOf: (image: DecodedImage, face: FoundFace) => this.#landmarksOf(image, face, scratch, known),
      normOf: (image: DecodedImage, face: FoundFace) => this.#normOf(image, face, scratch, known),
    };
    const upright = await uprightOrientation(first, judge, this.calibration);
    if (upright === first) return first;
    return { ...upright, faces: await this.#certain(upright.image, upright.faces, scratch, known) };
  }

  /** Whoever is asked to choose is shown how good each face is, and in which picture the boxes are. */
  async #choose(
    { image, faces, rotation }: Orientation,
    choice: FaceChoice | undefined,
    scratch: Scratch,
    known: Known,
  ): Promise<number> {
    try {
      return chooseFace(faces, image, choice);
    } catch (error) {
      if (!(error instanceof Refusal) || error.details === undefined) throw error;
      const qualities: (FaceQuality | undefined)[] = [];
      for (const face of faces) qualities.push((await this.#embedIfUsable(image, face, scratch, known))?.quality);
      const picture: UprightPicture = { width: image.width, height: image.height, rotation };
      throw new Refusal(error.code, error.publicText, { faces: describeFaces(faces, qualities), picture });
    }
  }

  async #landmarksOf(image: DecodedImage, face: FoundFace, scratch: Scratch, known: Known): Promise<FaceLandmarks> {
    const before = known.landmarks.get(face);
    if (before !== undefined) return before;
    const landmarks = await this.finder.landmarksOf(image, face, scratch.finder);
    known.landmarks.set(face, landmarks);
    return landmarks;
  }

  async #normOf(image: DecodedImage, face: FoundFace, scratch: Scratch, known: Known): Promise<number> {
    return (await this.#embedIfUsable(image, face, scratch, known))?.embeddingNorm ?? 0;
  }

  async #embedIfUsable(
    image: DecodedImage,
    face: FoundFace,
    scratch: Scratch,
    known: Known,
  ): Promise<EmbeddedFace | undefined> {
    try {
      return await this.#embed(image, face, scratch, known);
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  async #embed(image: DecodedImage, face: FoundFace, scratch: Scratch, known: Known): Promise<EmbeddedFace> {
    const before = known.embedded.get(face);
    if (before !== undefined) return before;
    const landmarks = await this.#landmarksOf(image, face, scratch, known);
    const { template, embeddingNorm, aligned } = await this.embedder.embed(image, landmarks, scratch.embedder);
    const measures = measureFace(landmarks, aligned, embeddingNorm, face.confidence);
    const quality = judgeQuality(measures, landmarks, this.calibration.quality);
    const embedded = { template, embeddingNorm, landmarks, quality };
    known.embedded.set(face, embedded);
    return embedded;
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

function nothingKnown(): Known {
  return { landmarks: new Map(), embedded: new Map() };
}

export function engineBusy(): Failure {
  return new Failure('ENGINE_BUSY', 'Too many images are waiting to be processed: try again shortly.', true);
}
