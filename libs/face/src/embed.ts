/** One aligned face → its template. */
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import { Failure } from '#domain/errors.js';
import type { FaceLandmarks } from '#domain/face.js';
import { fillAligned, similarityToReference, type AlignedPixels } from './align.js';
import type { DecodedImage } from './decode.js';
import { giveBack } from './give-back.js';
import type { EmbedderParameters } from './model-pack.js';
import { openSession, unsuitable } from './network-input.js';
import { isValidTemplate, l2Norm } from './template.js';

export interface Embedding {
  /** L2-normalised, length `dimension`. */
  readonly template: Float32Array;
  /** L2 norm before normalising. */
  readonly embeddingNorm: number;
  /** What the network saw; lives in the scratch that was given. */
  readonly aligned: AlignedPixels;
}

export class FaceEmbedder {
  private constructor(
    readonly session: InferenceSession,
    readonly parameters: EmbedderParameters,
  ) {}

  /** @throws Failure MODEL_PACK_UNSUITABLE */
  static async open(path: string, parameters: EmbedderParameters): Promise<FaceEmbedder> {
    const session = await openSession(path, 'embedder', inputShapeOf(parameters));
    const output = session.outputMetadata[0];
    const shape = output?.isTensor === true ? output.shape : [];
    if (session.outputNames.length !== 1 || shape.at(-1) !== parameters.dimension) {
      await session.release();
      throw unsuitable('embedder', `gives ${JSON.stringify(shape)}, not templates of ${parameters.dimension}`);
    }
    return new FaceEmbedder(session, parameters);
  }

  /** Of the scratch that {@link embed} is given. */
  get inputLength(): number {
    return 3 * this.parameters.size ** 2;
  }

  /**
   * @param input scratch of `inputLength`, overwritten
   * @throws Refusal FACE_UNUSABLE
   * @throws Failure EMBEDDING_INVALID
   */
  async embed(image: DecodedImage, landmarks: FaceLandmarks, input: Float32Array): Promise<Embedding> {
    const { size: sidePx, layout = 'NCHW', colour: order, mean, scale, dimension } = this.parameters;
    const similarity = similarityToReference(landmarks, sidePx);
    const aligned = fillAligned(image, similarity, { sidePx, order, layout, mean, scale }, input);
    const tensor = new Tensor('float32', input, inputShapeOf(this.parameters));
    const outputs = await this.session.run({ [this.session.inputNames[0]!]: tensor });
    const raw = outputs[this.session.outputNames[0]!]!.data as Float32Array;
    const embeddingNorm = l2Norm(raw);
    const template = raw.map((component) => component / embeddingNorm);
    giveBack(raw);
    if (!isValidTemplate(template, dimension)) {
      throw new Failure('EMBEDDING_INVALID', 'The face could not be turned into a template.', false);
    }
    return { template, embeddingNorm, aligned };
  }
}

function inputShapeOf({ size, layout = 'NCHW' }: EmbedderParameters): number[] {
  return layout === 'NCHW' ? [1, 3, size, size] : [1, size, size, 3];
}
