/**
 * The exact engine: a scan that provably misses nothing, at the cost of reading a byte a dimension.
 *
 * Each template v is kept as a code c of int8 with a scale s, and an upper bound of the norm of what that leaves out,
 * r = v - s c. The probe p is coded likewise in 15 bits: p = t d + q. Then
 *
 *     p.v = t s (d.c)  +  t d.r  +  q.v
 *
 * and by Cauchy-Schwarz the true score lies within |t d| |r| + |q| |v| of the approximate one, t s (d.c). The kernel
 * computes that approximation and that error for each slot, and reports the slots whose upper bound still reaches the
 * k-th best *subject's* lower bound. Those are scored again from float32 in double precision. A slot that is left out
 * scores strictly less than k subjects do, so the answer is the same as that of scoring every template.
 */
import { Failure } from '#domain/errors.js';
import { KERNEL_PAGE_BYTES, loadScanKernel, type ScanFunction } from './scan-kernel.js';
import { SubjectBound, SubjectRanking } from './subject-ranking.js';
import { DIMENSION_MAX, NORM_TOLERANCE } from './template-vector.js';
import type { SlotAnswer, SlotSearch, VectorIndex } from './vector-index.js';
import { SLOTS_PER_BLOCK, type VectorStore } from './vector-store.js';

/** 14 bits and a sign: the most that 1024 dimensions of int8 can be multiplied with in an int32. */
const PROBE_CODE_MAX = 16_383;
const TEMPLATE_CODE_MAX = 127;
/** Covers the rounding of the double-precision arithmetic of bounds and scores, below 1e-12, many times over. */
const ROUNDING_SLACK = 1e-9;
/** The first ranges of a scan are short, so that the bound is there before the long ones. */
const FIRST_RANGE_SLOTS = 256;

export class ExactEngine implements VectorIndex {
  readonly #memory: WebAssembly.Memory;
  readonly #scan: ScanFunction;
  readonly #stride: number;
  readonly #probeAt: number;
  readonly #outSlotsAt: number;
  readonly #outScoresAt: number;
  readonly #outErrorsAt: number;
  readonly #blocksAt: number;
  readonly #blockBytes: number;
  readonly #probe: Float64Array;
  #blocks = 0;
  #found = new Int32Array(1024);
  #uppers = new Float64Array(1024);

  constructor(private readonly store: VectorStore) {
    if (store.dimension < 1 || store.dimension > DIMENSION_MAX) {
      throw new RangeError(`a template has 1 to ${DIMENSION_MAX} dimensions, not ${store.dimension}`);
    }
    const { scan, memory } = loadScanKernel();
    this.#scan = scan;
    this.#memory = memory;
    this.#stride = Math.ceil(store.dimension / 16) * 16;
    this.#probe = new Float64Array(store.dimension);
    this.#probeAt = KERNEL_PAGE_BYTES;
    this.#outSlotsAt = this.#probeAt + this.#stride * 2;
    this.#outScoresAt = this.#outSlotsAt + SLOTS_PER_BLOCK * 4;
    this.#outErrorsAt = this.#outScoresAt + SLOTS_PER_BLOCK * 8;
    this.#blocksAt = this.#outErrorsAt + SLOTS_PER_BLOCK * 8;
    this.#blockBytes = SLOTS_PER_BLOCK * (this.#stride + 8);
    this.#reserve(this.#blocksAt);
  }

  get memoryBytes(): number {
    return this.#memory.buffer.byteLength;
  }

  /** @throws Failure SHARD_FULL, with nothing changed, when there is no memory for one slot more */
  ensureRoomFor(slot: number): void {
    const blocks = Math.floor(slot / SLOTS_PER_BLOCK) + 1;
    if (blocks <= this.#blocks) return;
    this.#reserve(this.#blocksAt + blocks * this.#blockBytes);
    this.#blocks = blocks;
  }

  add(slot: number): void {
    this.ensureRoomFor(slot);
    const { codes, scale, residual } = this.#columns(slot);
    const vector = this.store.vector(slot);
    let greatest = 0;
    for (let i = 0; i < vector.length; i++) greatest = Math.max(greatest, Math.abs(vector[i]!));
    scale[0] = greatest / TEMPLATE_CODE_MAX;
    const step = scale[0];
    let sum = 0;
    for (let i = 0; i < vector.length; i++) {
      // The scale is rounded to float32, so that the quotient may exceed 127 by a rounding error.
      const code = step === 0 ? 0 : clampCode(Math.round(vector[i]! / step), TEMPLATE_CODE_MAX);
      codes[i] = code;
      const left = vector[i]! - step * code;
      sum += left * left;
    }
    residual[0] = roundedUp(Math.sqrt(sum));
  }

  remove(slot: number): void {
    const { codes, scale, residual } = this.#columns(slot);
    codes.fill(0);
    scale[0] = 0;
    residual[0] = 0;
  }

  search({ probe, k, accepts }: SlotSearch): SlotAnswer {
    const { store } = this;
    const { scale, norm, residual } = this.#codeProbe(probe);
    const residualFactor = norm;
    const fixedError = residual * (1 + NORM_TOLERANCE) + ROUNDING_SLACK;
    const bound = new SubjectBound(k);
    let count = 0;

    let rangeSlots = FIRST_RANGE_SLOTS;
    for (let first = 0; first < store.slotEnd;) {
      const blockStart = first - (first % SLOTS_PER_BLOCK);
      const end = Math.min(first + rangeSlots, blockStart + SLOTS_PER_BLOCK, store.slotEnd);
      const found = this.#scanRange(blockStart, first, end, scale, residualFactor, fixedError, bound.value);
      const slots = new Uint32Array(this.#memory.buffer, this.#outSlotsAt, found);
      const scores = new Float64Array(this.#memory.buffer, this.#outScoresAt, found);
      const errors = new Float64Array(this.#memory.buffer, this.#outErrorsAt, found);
      for (let i = 0; i < found; i++) {
        const slot = blockStart + slots[i]!;
        const upper = scores[i]! + errors[i]!;
        if (upper < bound.value || !store.isSearchable(slot)) continue;
        if (accepts !== undefined && !accepts(slot)) continue;
        if (count === this.#found.length) this.#growFound();
        this.#found[count] = slot;
        this.#uppers[count] = upper;
        count++;
        // Scores are clamped to 1, so that the bound must be too.
        bound.offer(store.subject(slot), Math.min(1, scores[i]! - errors[i]!));
      }
      first = end;
      rangeSlots *= 4;
    }

    const least = bound.value;
    const ranking = new SubjectRanking(store);
    for (let i = 0; i < count; i++) {
      if (this.#uppers[i]! >= least) ranking.offer(this.#found[i]!, store.score(this.#probe, this.#found[i]!));
    }
    return { mode: 'exact', hits: ranking.top(k) };
  }

  #scanRange(
    blockStart: number,
    first: number,
    end: number,
    probeScale: number,
    residualFactor: number,
    fixedError: number,
    bound: number,
  ): number {
    const codes = this.#blocksAt + (blockStart / SLOTS_PER_BLOCK) * this.#blockBytes;
    const scales = codes + SLOTS_PER_BLOCK * this.#stride;
    return this.#scan(
      codes,
      scales,
      scales + SLOTS_PER_BLOCK * 4,
      first - blockStart,
      end - blockStart,
      this.#stride,
      this.#probeAt,
      probeScale,
      residualFactor,
      fixedError,
      bound,
      this.#outSlotsAt,
      this.#outScoresAt,
      this.#outErrorsAt,
    );
  }

  /** Also leaves the probe's values in `#probe`. Norms are of the coded probe and of what the code leaves out. */
  #codeProbe(probe: Float32Array): { scale: number; norm: number; residual: number } {
    const codes = new Int16Array(this.#memory.buffer, this.#probeAt, this.#stride);
    let greatest = 0;
    for (let i = 0; i < probe.length; i++) {
      this.#probe[i] = probe[i]!;
      greatest = Math.max(greatest, Math.abs(probe[i]!));
    }
    const scale = greatest / PROBE_CODE_MAX;
    let norm = 0;
    let residual = 0;
    for (let i = 0; i < probe.length; i++) {
      const code = scale === 0 ? 0 : clampCode(Math.round(probe[i]! / scale), PROBE_CODE_MAX);
      codes[i] = code;
      norm += scale * code * (scale * code);
      residual += (probe[i]! - scale * code) ** 2;
    }
    return { scale, norm: Math.sqrt(norm), residual: Math.sqrt(residual) };
  }

  #columns(slot: number): { codes: Int8Array; scale: Float32Array; residual: Float32Array } {
    const row = slot % SLOTS_PER_BLOCK;
    const codesAt = this.#blocksAt + Math.floor(slot / SLOTS_PER_BLOCK) * this.#blockBytes;
    const scalesAt = codesAt + SLOTS_PER_BLOCK * this.#stride;
    const { buffer } = this.#memory;
    return {
      codes: new Int8Array(buffer, codesAt + row * this.#stride, this.store.dimension),
      scale: new Float32Array(buffer, scalesAt + row * 4, 1),
      residual: new Float32Array(buffer, scalesAt + (SLOTS_PER_BLOCK + row) * 4, 1),
    };
  }

  #reserve(bytes: number): void {
    const pages = Math.ceil((bytes - this.#memory.buffer.byteLength) / KERNEL_PAGE_BYTES);
    if (pages <= 0) return;
    try {
      this.#memory.grow(pages);
    } catch (cause) {
      throw new Failure('SHARD_FULL', 'The shard has no memory for more templates; add workers or shards.', false, {
        cause,
      });
    }
  }

  #growFound(): void {
    const found = new Int32Array(this.#found.length * 2);
    found.set(this.#found);
    this.#found = found;
    const uppers = new Float64Array(this.#uppers.length * 2);
    uppers.set(this.#uppers);
    this.#uppers = uppers;
  }
}

function clampCode(code: number, greatest: number): number {
  return code > greatest ? greatest : code < -greatest ? -greatest : code;
}

/** The next float32 or so above a value that float32 might round down. */
function roundedUp(value: number): number {
  return value * (1 + 2 ** -22) + 1e-30;
}
