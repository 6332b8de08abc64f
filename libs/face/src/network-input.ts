/** What the three networks share: how a session is opened and how pixels become its input. */
import { InferenceSession } from 'onnxruntime-node';
import { Failure } from '#domain/errors.js';

export type ChannelOrder = 'RGB' | 'BGR';

/**
 * One thread each: two cost twice the CPU and are no faster. Parallelism comes from the pictures in flight.
 *
 * @param inputShape what the pipeline will feed, for example `[1, 3, 112, 112]`
 * @throws Failure MODEL_PACK_UNSUITABLE
 */
export async function openSession(
  path: string,
  role: string,
  inputShape: readonly number[],
): Promise<InferenceSession> {
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    });
  } catch (thrown) {
    throw new Failure('MODEL_PACK_UNSUITABLE', `The model pack's ${role} is not a network that can be run.`, false, {
      cause: thrown,
    });
  }
  const input = session.inputMetadata[0];
  const found = input?.isTensor === true ? input.shape : [];
  // A dimension that the network leaves open is a name, and takes any size.
  const fits =
    found.length === inputShape.length && found.every((d, i) => typeof d !== 'number' || d === inputShape[i]);
  if (session.inputNames.length !== 1 || !fits) {
    await session.release();
    throw unsuitable(role, `takes ${JSON.stringify(found)}, not ${JSON.stringify(inputShape)}`);
  }
  return session;
}

export function unsuitable(role: string, why: string): Failure {
  return new Failure('MODEL_PACK_UNSUITABLE', `The model pack's ${role} ${why}.`, false);
}

/** (value - mean) / scale of each of the 256 values that a channel of a pixel can have. */
export function normalisationTable(mean: number, scale: number): Float32Array {
  return Float32Array.from({ length: 256 }, (_, value) => (value - mean) / scale);
}

/**
 * Interleaved RGB to planes in the network's channel order.
 *
 * @param rgb length 3 · n
 * @param out length 3 · n, overwritten
 */
export function fillPlanes(rgb: Uint8Array, order: ChannelOrder, table: Float32Array, out: Float32Array): void {
  const n = out.length / 3;
  const red = order === 'RGB' ? 0 : 2 * n;
  const blue = 2 * n - red;
  for (let i = 0, p = 0; i < n; i++, p += 3) {
    out[red + i] = table[rgb[p]!]!;
    out[n + i] = table[rgb[p + 1]!]!;
    out[blue + i] = table[rgb[p + 2]!]!;
  }
}
