/**
 * Other ways to score every template, to choose by measurement: hnswlib-node's brute force, ONNX Runtime's MatMul and
 * TopK, a float32 scan in WebAssembly SIMD, and a loop in JavaScript. Each gives the k best slots.
 */
import hnswlib from 'hnswlib-node';
import { InferenceSession, Tensor } from 'onnxruntime-node';

export interface Scan {
  readonly name: string;
  search(probe: Float32Array): Promise<readonly number[]> | readonly number[];
  close(): Promise<void> | void;
}

/** By a name that the type checker does not follow: the compiler's types change those of everybody's arrays. */
const COMPILER = 'assemblyscript/asc' as string;

interface Compiler {
  compileString(
    source: string,
    options: { readonly optimizeLevel: number; readonly runtime: string; readonly enable: readonly string[] },
  ): Promise<{ readonly binary: Uint8Array | null }>;
}

/** @param vectors one after the other */
export async function scansOf(vectors: Float32Array, dimension: number, k: number): Promise<Scan[]> {
  return [
    bruteForce(vectors, dimension, k),
    await onnxScan(vectors, dimension, k),
    await wasmScan(vectors, dimension, k),
    plainScan(vectors, dimension, k),
  ];
}

export const BRUTE_FORCE = 'hnswlib-node BruteforceSearch';

function bruteForce(vectors: Float32Array, dimension: number, k: number): Scan {
  const count = vectors.length / dimension;
  const index = new hnswlib.BruteforceSearch('ip', dimension);
  index.initIndex(count);
  const values = new Array<number>(dimension).fill(0.5);
  const fill = (from: Float32Array, start: number): number[] => {
    for (let i = 0; i < dimension; i++) values[i] = from[start + i]!;
    return values;
  };
  for (let label = 0; label < count; label++) index.addPoint(fill(vectors, label * dimension), label);
  return {
    name: BRUTE_FORCE,
    search: (probe) => index.searchKnn(fill(probe, 0), k).neighbors,
    close: () => undefined,
  };
}

/** One thread, as the others have. */
async function onnxScan(vectors: Float32Array, dimension: number, k: number): Promise<Scan> {
  const session = await InferenceSession.create(matMulTopK(vectors.length / dimension, dimension, k), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
  });
  const gallery = new Tensor('float32', vectors, [vectors.length / dimension, dimension]);
  return {
    name: 'ONNX Runtime MatMul + TopK',
    async search(probe) {
      const { labels } = await session.run({ gallery, probe: new Tensor('float32', probe, [dimension, 1]) });
      return Array.from(labels!.data as BigInt64Array, Number);
    },
    close: () => session.release(),
  };
}

/** The k best scores are kept in JavaScript; the kernel reports what reaches the least of them, a block at a time. */
async function wasmScan(vectors: Float32Array, dimension: number, k: number): Promise<Scan> {
  const { default: asc } = (await import(COMPILER)) as { default: Compiler };
  const { binary } = await asc.compileString(WASM_SOURCE, {
    optimizeLevel: 3,
    runtime: 'stub',
    enable: ['simd'],
  });
  if (binary === null) throw new Error('the float32 scan could not be compiled');
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(binary)), {});
  const memory = exports['memory'] as WebAssembly.Memory;
  const scan = exports['scan'] as (...numbers: number[]) => number;
  const count = vectors.length / dimension;
  const block = 4096;
  const probeAt = 65_536;
  const outAt = probeAt + dimension * 4;
  const vectorsAt = Math.ceil((outAt + block * 8) / 16) * 16;
  memory.grow(Math.ceil((vectorsAt + vectors.byteLength) / 65_536));
  new Float32Array(memory.buffer, vectorsAt).set(vectors);
  const probeView = new Float32Array(memory.buffer, probeAt, dimension);
  const outSlots = new Uint32Array(memory.buffer, outAt, block);
  const outScores = new Float32Array(memory.buffer, outAt + block * 4, block);
  return {
    name: 'float32 scan in WebAssembly SIMD',
    search(probe) {
      probeView.set(probe);
      const best = new Best(k);
      for (let first = 0; first < count; first += block) {
        const end = Math.min(count, first + block);
        const found = scan(vectorsAt, first, end, dimension * 4, probeAt, best.worst, outAt, outAt + block * 4);
        for (let i = 0; i < found; i++) best.offer(outSlots[i]!, outScores[i]!);
      }
      return best.slots;
    },
    close: () => undefined,
  };
}

function plainScan(vectors: Float32Array, dimension: number, k: number): Scan {
  return {
    name: 'loop in JavaScript, double precision',
    search: (probe) => bestByPlainScan(vectors, dimension, probe, k),
    close: () => undefined,
  };
}

/** The oracle: every template, in double precision. @returns slots, best first */
export function bestByPlainScan(
  vectors: Float32Array,
  dimension: number,
  probe: Float32Array,
  k: number,
): readonly number[] {
  const best = new Best(k);
  for (let slot = 0, start = 0; start < vectors.length; slot++, start += dimension) {
    let a = 0;
    let b = 0;
    for (let i = 0; i < dimension; i += 2) {
      a += probe[i]! * vectors[start + i]!;
      b += probe[i + 1]! * vectors[start + i + 1]!;
    }
    best.offer(slot, a + b);
  }
  return best.slots;
}

/** The k greatest, by insertion: k is small. */
class Best {
  readonly slots: number[] = [];
  readonly #scores: number[] = [];
  worst = -Infinity;

  constructor(private readonly k: number) {}

  offer(slot: number, score: number): void {
    if (score <= this.worst) return;
    let at = this.#scores.length;
    while (at > 0 && this.#scores[at - 1]! < score) at--;
    this.#scores.splice(at, 0, score);
    this.slots.splice(at, 0, slot);
    if (this.slots.length > this.k) {
      this.slots.pop();
      this.#scores.pop();
    }
    if (this.slots.length === this.k) this.worst = this.#scores.at(-1)!;
  }
}

const WASM_SOURCE = `
export function scan(
  vectors: usize, first: i32, end: i32, stride: i32, probe: usize, bound: f32, outSlots: usize, outScores: usize,
): i32 {
  let found: i32 = 0;
  for (let slot = first; slot < end; slot++) {
    let at: usize = vectors + <usize>slot * <usize>stride;
    const stop: usize = at + <usize>stride;
    let p: usize = probe;
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    while (at < stop) {
      a = f32x4.add(a, f32x4.mul(v128.load(at), v128.load(p)));
      b = f32x4.add(b, f32x4.mul(v128.load(at, 16), v128.load(p, 16)));
      c = f32x4.add(c, f32x4.mul(v128.load(at, 32), v128.load(p, 32)));
      d = f32x4.add(d, f32x4.mul(v128.load(at, 48), v128.load(p, 48)));
      at += 64;
      p += 64;
    }
    const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    const score: f32 =
      f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3);
    if (score > bound) {
      store<u32>(outSlots + ((<usize>found) << 2), <u32>slot);
      store<f32>(outScores + ((<usize>found) << 2), score);
      found++;
    }
  }
  return found;
}
`;

/** An ONNX model of two nodes, written out by hand: gallery [n, dimension] x probe [dimension, 1], then the k best rows. */
function matMulTopK(count: number, dimension: number, k: number): Uint8Array {
  const float = 1;
  const int64 = 7;
  const dim = (value: number): number[] => field(1, varint(1, value));
  const type = (elements: number, dims: number[]): number[] =>
    field(1, [...varint(1, elements), ...field(2, dims.flatMap(dim))]);
  const value = (name: string, elements: number, dims: number[]): number[] => [
    ...text(1, name),
    ...field(2, type(elements, dims)),
  ];
  const attribute = (name: string, number: number): number[] => [
    ...text(1, name),
    ...varint(3, number),
    ...varint(20, 2),
  ];
  const node = (kind: string, inputs: string[], outputs: string[], attributes: number[][] = []): number[] => [
    ...inputs.flatMap((name) => text(1, name)),
    ...outputs.flatMap((name) => text(2, name)),
    ...text(4, kind),
    ...attributes.flatMap((bytes) => field(5, bytes)),
  ];
  const wanted = [...varint(1, 1), ...varint(2, int64), ...varint(7, k), ...text(8, 'k')];
  const graph = [
    ...field(1, node('MatMul', ['gallery', 'probe'], ['scores'])),
    ...field(1, node('TopK', ['scores', 'k'], ['best', 'labels'], [attribute('axis', 0)])),
    ...text(2, 'scan'),
    ...field(5, wanted),
    ...field(11, value('gallery', float, [count, dimension])),
    ...field(11, value('probe', float, [dimension, 1])),
    ...field(12, value('best', float, [k, 1])),
    ...field(12, value('labels', int64, [k, 1])),
  ];
  const opset = [...text(1, ''), ...varint(2, 17)];
  return Uint8Array.from([...varint(1, 8), ...field(7, graph), ...field(8, opset)]);
}

/** Protocol buffers: a whole number. */
function varint(number: number, value: number): number[] {
  return [...base128(number << 3), ...base128(value)];
}

/** Protocol buffers: bytes with their length. */
function field(number: number, bytes: number[]): number[] {
  return [...base128((number << 3) | 2), ...base128(bytes.length), ...bytes];
}

function text(number: number, value: string): number[] {
  return field(number, [...Buffer.from(value)]);
}

function base128(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}
