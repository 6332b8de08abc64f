/**
 * The exact engine: a scan that provably misses nothing, at the cost of reading a byte a dimension.
 *
 * Each template v is kept as a code c of int8 with a scale s, and an upper bound of the norm of what that leaves out,
 * r = v - s c. The probe p is coded likewise, p = t d + q, twice: coarsely in 7 bits, and finely in 15. For either
 *
 *     p.v = t s (d.c)  +  t d.r  +  q.v
 *
 * and by Cauchy-Schwarz the true score lies within |t d| |r| + |q| |v| of the approximate one, t s (d.c). The kernel
 * computes the coarse approximation and its error for each slot, and the fine ones where the coarse upper bound reaches
 * the k-th best *subject's* lower bound; it reports the slots whose fine upper bound reaches that too. Those are scored
 * again from float32 in double precision. A slot that is left out, by either upper bound, scores strictly less than k
 * subjects do, so the answer is the same as that of scoring every template.
 *
 * Why arithmetic does not break that, term by term, for up to 1024 dimensions and norms of 1 +- {@link NORM_TOLERANCE}:
 *
 * - d.c is a sum of integers, at most 1024 x 127 x 16383 < 2^31 in magnitude: exact. The coarse one is computed as
 *   (d + 64).c less 64 times the sum of c, all of them integers below 2^25: exact too, see kernel/scan.ts.
 * - r is taken from the code and the float32 scale that are *stored*, so that rounding in choosing either (and a code
 *   clamped to 127) makes r longer, never the bound wrong. s c has 32 bits and is exact in f64; |r| is added up in f64,
 *   wrong by less than 1e-12 of itself, and stored as a float32 after being raised by 2^-22 of itself, more than both
 *   that and rounding to float32 (2^-24) can take away.
 * - t, |t d| and |q| are in f64, for the codes that are used; |v| <= 1 + NORM_TOLERANCE was checked before.
 * - What is left is rounding in f64: t s (d.c), three operations on what is at most about 1; the sum of the error's
 *   terms; and {@link cosine} itself, wrong by at most 1024 x 2^-53 x |p| |v|, about 1.2e-13. All of it is below 1e-12,
 *   and {@link ROUNDING_SLACK} is a thousand times that.
 * - Scores are clamped to -1..1, so the bounds are clamped likewise: a lower bound at both ends, and an upper one that
 *   is below -1 counts as -1, which every slot reaches.
 */
import { Failure } from '#domain/errors.js';
import { KERNEL_PAGE_BYTES, loadScanKernel, type EncodeFunction, type ScanFunction } from './scan-kernel.js';
import { SubjectBound, SubjectRanking } from './subject-ranking.js';
import { DIMENSION_MAX, NORM_TOLERANCE } from './template-vector.js';
import type { SlotAnswer, SlotSearch, VectorIndex } from './vector-index.js';
import { SLOTS_PER_BLOCK } from './slot-columns.js';
import type { VectorStore } from './vector-store.js';

/** 14 bits and a sign: the most that 1024 dimensions of int8 can be multiplied with in an int32. */
const FINE_CODE_MAX = 16_383;
/** 6 bits and a sign: with {@link COARSE_OFFSET} added, what the quickest instruction multiplies int8 with. */
const COARSE_CODE_MAX = 63;
const COARSE_OFFSET = 64;
/** Slots begin at cache lines, and the kernel takes a line at a time. */
const STRIDE_MULTIPLE = 64;
/** Covers the rounding of the double-precision arithmetic of bounds and scores, below 1e-12, a thousand times over. */
const ROUNDING_SLACK = 1e-9;
/** The first ranges of a scan are short, so that the bound is there before the long ones. */
const FIRST_RANGE_SLOTS = 256;

/**
 * A filter that passes less is quicker when the rest is skipped. Above it, reading all in a row is: at 100,000 templates
 * 3.1 to 3.7 ms with the filter itself, against 4.8 when one in four is read, 3.9 one in eight, 2.9 one in twelve, and
 * 1.1 one in a hundred.
 */
const SKIPPING_SHARE_MAX = 1 / 12;

/** Probe = scale x code + residual. */
interface ProbeCode {
  readonly codes: Int16Array;
  readonly scale: number;
  /** Of the coded probe: what a template's residual norm adds to the error. */
  readonly norm: number;
  /** What every template has of error. */
  readonly fixedError: number;
}

interface CodedProbe {
  readonly probe: Float64Array;
  readonly coarse: ProbeCode;
  readonly fine: ProbeCode;
}

export class ExactEngine implements VectorIndex {
  readonly #memory: WebAssembly.Memory;
  readonly #scan: ScanFunction;
  readonly #encode: EncodeFunction;
  readonly #stride: number;
  readonly #coarseAt: number;
  readonly #fineAt: number;
  readonly #vectorAt: number;
  readonly #maskAt: number;
  readonly #outSlotsAt: number;
  readonly #outScoresAt: number;
  readonly #outErrorsAt: number;
  readonly #blocksAt: number;
  readonly #blockBytes: number;
  #blocks = 0;

  constructor(private readonly store: VectorStore) {
    if (store.dimension < 1 || store.dimension > DIMENSION_MAX) {
      throw new RangeError(`a template has 1 to ${DIMENSION_MAX} dimensions, not ${store.dimension}`);
    }
    const { scan, encode, memory } = loadScanKernel();
    this.#scan = scan;
    this.#encode = encode;
    this.#memory = memory;
    this.#stride = Math.ceil(store.dimension / STRIDE_MULTIPLE) * STRIDE_MULTIPLE;
    this.#coarseAt = KERNEL_PAGE_BYTES;
    this.#fineAt = this.#coarseAt + this.#stride;
    this.#vectorAt = this.#fineAt + this.#stride * 2;
    this.#maskAt = this.#vectorAt + this.#stride * 4;
    this.#outSlotsAt = this.#maskAt + SLOTS_PER_BLOCK;
    this.#outScoresAt = this.#outSlotsAt + SLOTS_PER_BLOCK * 4;
    this.#outErrorsAt = this.#outScoresAt + SLOTS_PER_BLOCK * 8;
    this.#blocksAt = this.#outErrorsAt + SLOTS_PER_BLOCK * 8;
    this.#blockBytes = SLOTS_PER_BLOCK * (this.#stride + 12);
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
    const at = this.#addresses(slot);
    const vector = new Float32Array(this.#memory.buffer, this.#vectorAt, this.store.dimension);
    vector.set(this.store.vector(slot));
    this.#encode(this.#vectorAt, this.#stride, at.codes, at.scale, at.residual, at.codeSum);
    // Nothing of a template stays where nobody looks for it.
    vector.fill(0);
  }

  remove(slot: number): void {
    const { buffer } = this.#memory;
    const at = this.#addresses(slot);
    new Uint8Array(buffer, at.codes, this.#stride).fill(0);
    new Float32Array(buffer, at.scale, 1)[0] = 0;
    new Float32Array(buffer, at.residual, 1)[0] = 0;
    new Int32Array(buffer, at.codeSum, 1)[0] = 0;
  }

  /**
   * The codes of all slots, then their scales, residuals and sums, a block after the other: what a snapshot has of them,
   * and what is filled from one when {@link ensureRoomFor} has made room. Views, good until a slot is added.
   */
  *sections(slotEnd: number): Generator<Uint8Array> {
    for (let first = 0; first < slotEnd; first += SLOTS_PER_BLOCK) {
      const slots = Math.min(SLOTS_PER_BLOCK, slotEnd - first);
      const { codes, scale, residual, codeSum } = this.#addresses(first);
      yield new Uint8Array(this.#memory.buffer, codes, slots * this.#stride);
      yield new Uint8Array(this.#memory.buffer, scale, slots * 4);
      yield new Uint8Array(this.#memory.buffer, residual, slots * 4);
      yield new Uint8Array(this.#memory.buffer, codeSum, slots * 4);
    }
  }

  /** Of the {@link sections} together. */
  sectionsBytes(slotEnd: number): number {
    return slotEnd * (this.#stride + 12);
  }

  search(search: SlotSearch): SlotAnswer {
    const steps = this.searchInSteps(search);
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }

  /**
   * The same a block at a time, a fraction of a millisecond each, for who has something else to do in between. The
   * store may change meanwhile; each block is searched as it is when its turn comes.
   */
  *searchInSteps({ probe, k, accepts }: SlotSearch): Generator<undefined, SlotAnswer> {
    const { store } = this;
    const coded = codeProbe(probe, this.#stride);
    const bound = new SubjectBound(k);
    const left = new SlotsLeft();

    let rangeSlots = FIRST_RANGE_SLOTS;
    for (let first = 0; first < store.slotEnd;) {
      const blockStart = first - (first % SLOTS_PER_BLOCK);
      const end = Math.min(first + rangeSlots, blockStart + SLOTS_PER_BLOCK, store.slotEnd);
      // Before the scan, so that the bound is that of what passes, and what does not is hardly looked at.
      const passing = accepts === undefined ? undefined : this.#fillMask(blockStart, first, end, accepts);
      const found = this.#scanRange(blockStart, first, end, coded, bound.value, passing);
      const slots = new Uint32Array(this.#memory.buffer, this.#outSlotsAt, found);
      const scores = new Float64Array(this.#memory.buffer, this.#outScoresAt, found);
      const errors = new Float64Array(this.#memory.buffer, this.#outErrorsAt, found);
      for (let i = 0; i < found; i++) {
        const slot = blockStart + slots[i]!;
        const upper = clamped(scores[i]! + errors[i]!);
        if (upper < bound.value || !store.isSearchable(slot)) continue;
        left.add(slot, upper);
        bound.offer(store.subject(slot), clamped(scores[i]! - errors[i]!));
      }
      first = end;
      rangeSlots *= 4;
      if (first < store.slotEnd) yield;
    }

    const ranking = new SubjectRanking(store);
    for (let i = 0; i < left.count; i++) {
      const slot = left.slots[i]!;
      if (left.uppers[i]! >= bound.value) {
        ranking.offer(slot, store.score(coded.probe, slot));
      }
    }
    return { mode: 'exact', hits: ranking.top(k) };
  }

  /** @returns how many slots pass */
  #fillMask(blockStart: number, first: number, end: number, accepts: (slot: number) => boolean): number {
    const mask = new Uint8Array(this.#memory.buffer, this.#maskAt, SLOTS_PER_BLOCK);
    let passing = 0;
    for (let slot = first; slot < end; slot++) {
      const passes = this.store.isSearchable(slot) && accepts(slot) ? 1 : 0;
      mask[slot - blockStart] = passes;
      passing += passes;
    }
    return passing;
  }

  #scanRange(
    blockStart: number,
    first: number,
    end: number,
    { coarse, fine }: CodedProbe,
    bound: number,
    passing: number | undefined,
  ): number {
    if (passing === 0) return 0;
    const codes = this.#blocksAt + (blockStart / SLOTS_PER_BLOCK) * this.#blockBytes;
    const scales = codes + SLOTS_PER_BLOCK * this.#stride;
    const coarseCodes = new Uint8Array(this.#memory.buffer, this.#coarseAt, this.#stride);
    const fineCodes = new Int16Array(this.#memory.buffer, this.#fineAt, this.#stride);
    // Each time, as another search may have been here since; and gone again, as a probe is not kept.
    for (let i = 0; i < this.#stride; i++) coarseCodes[i] = coarse.codes[i]! + COARSE_OFFSET;
    fineCodes.set(fine.codes);
    const found = this.#scan(
      codes,
      scales,
      scales + SLOTS_PER_BLOCK * 4,
      scales + SLOTS_PER_BLOCK * 8,
      first - blockStart,
      end - blockStart,
      this.#stride,
      this.#coarseAt,
      coarse.scale,
      coarse.norm,
      coarse.fixedError,
      this.#fineAt,
      fine.scale,
      fine.norm,
      fine.fixedError,
      // The kernel does not clamp: at -1, where scores are clamped, every slot is as good as the k-th.
      bound > -1 ? bound : -Infinity,
      this.#outSlotsAt,
      this.#outScoresAt,
      this.#outErrorsAt,
      passing === undefined ? 0 : this.#maskAt,
      passing !== undefined && passing < (end - first) * SKIPPING_SHARE_MAX,
    );
    coarseCodes.fill(0);
    fineCodes.fill(0);
    return found;
  }

  #addresses(slot: number): { codes: number; scale: number; residual: number; codeSum: number } {
    const row = slot % SLOTS_PER_BLOCK;
    const block = this.#blocksAt + Math.floor(slot / SLOTS_PER_BLOCK) * this.#blockBytes;
    const scales = block + SLOTS_PER_BLOCK * this.#stride;
    return {
      codes: block + row * this.#stride,
      scale: scales + row * 4,
      residual: scales + (SLOTS_PER_BLOCK + row) * 4,
      codeSum: scales + (2 * SLOTS_PER_BLOCK + row) * 4,
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
}

/** What the kernel left in, with upper bounds; some of it falls out as the bound rises. */
class SlotsLeft {
  slots = new Int32Array(1024);
  uppers = new Float64Array(1024);
  count = 0;

  add(slot: number, upper: number): void {
    if (this.count === this.slots.length) this.#grow();
    this.slots[this.count] = slot;
    this.uppers[this.count] = upper;
    this.count++;
  }

  #grow(): void {
    const slots = new Int32Array(this.slots.length * 2);
    slots.set(this.slots);
    this.slots = slots;
    const uppers = new Float64Array(this.uppers.length * 2);
    uppers.set(this.uppers);
    this.uppers = uppers;
  }
}

/** @param stride how many codes; zeros beyond the probe's dimensions */
function codeProbe(probe: Float32Array, stride: number): CodedProbe {
  return {
    probe: Float64Array.from(probe),
    coarse: probeCode(probe, stride, COARSE_CODE_MAX),
    fine: probeCode(probe, stride, FINE_CODE_MAX),
  };
}

function probeCode(probe: Float32Array, stride: number, greatestCode: number): ProbeCode {
  const codes = new Int16Array(stride);
  let greatest = 0;
  for (let i = 0; i < probe.length; i++) greatest = Math.max(greatest, Math.abs(probe[i]!));
  const scale = greatest / greatestCode;
  let norm = 0;
  let residual = 0;
  for (let i = 0; i < probe.length; i++) {
    const code = scale === 0 ? 0 : clampCode(Math.round(probe[i]! / scale), greatestCode);
    codes[i] = code;
    norm += scale * code * (scale * code);
    residual += (probe[i]! - scale * code) ** 2;
  }
  return {
    codes,
    scale,
    norm: Math.sqrt(norm),
    fixedError: Math.sqrt(residual) * (1 + NORM_TOLERANCE) + ROUNDING_SLACK,
  };
}

function clampCode(code: number, greatest: number): number {
  return code > greatest ? greatest : code < -greatest ? -greatest : code;
}

/** As scores are. */
function clamped(score: number): number {
  return score > 1 ? 1 : score < -1 ? -1 : score;
}
