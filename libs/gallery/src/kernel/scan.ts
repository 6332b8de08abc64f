/**
 * The two inner loops of the exact engine, in AssemblyScript: what codes a template in 8 bits, and what compares a probe
 * in 7 bits, and where that does not settle it in 15, with such codes and reports the few whose score may still reach
 * `bound`. Compiled by `npm run build:kernel`; called from ../exact-engine.ts, which holds the proof of the error bounds.
 *
 * Every figure that decides is in f64; only the dot products are in integers, where they are exact.
 */

/** The greatest code: -128 is left out, so that sums of 1024 products fit an int32, and sums of 2 an int16. */
const CODE_MAX: f32 = 127.0;

/** What is added to a coarse code of the probe, so that it is not negative: the quick instruction asks for that. */
const COARSE_OFFSET: i32 = 64;

/**
 * Codes one template: the codes, the scale, and an upper bound of the norm of what they leave out. The code need not be
 * the nearest one, as the bound is computed from the code and the scale that are stored.
 *
 * @param vector address of `stride` float32, zeros beyond the template's dimensions; 16-byte aligned
 * @param stride a multiple of 64
 * @param codes address of `stride` int8 to be written
 * @param scaleAt address of a float32 to be written
 * @param residualAt address of a float32 to be written
 * @param codeSumAt address of an int32 to be written: the sum of the codes
 */
export function encode(
  vector: usize,
  stride: i32,
  codes: usize,
  scaleAt: usize,
  residualAt: usize,
  codeSumAt: usize,
): void {
  const stop: usize = vector + ((<usize>stride) << 2);
  let greatest4 = f32x4.splat(0);
  for (let at = vector; at < stop; at += 16) greatest4 = f32x4.max(greatest4, f32x4.abs(v128.load(at)));
  const greatest: f32 = max(
    max(f32x4.extract_lane(greatest4, 0), f32x4.extract_lane(greatest4, 1)),
    max(f32x4.extract_lane(greatest4, 2), f32x4.extract_lane(greatest4, 3)),
  );
  const scale: f32 = greatest / CODE_MAX;
  const scale4 = f32x4.splat(scale);
  const scale2 = f64x2.splat(<f64>scale);
  let sumA = f64x2.splat(0);
  let sumB = f64x2.splat(0);
  let codeSum4 = i32x4.splat(0);
  for (let at = vector, code = codes; at < stop; at += 16, code += 4) {
    const values = v128.load(at);
    // A zero vector has the scale zero; 0 / 0 is made a code of zero by the saturating conversion.
    const rounded = f32x4.nearest(f32x4.div(values, scale4));
    const clamped = f32x4.max(f32x4.min(rounded, f32x4.splat(CODE_MAX)), f32x4.splat(-CODE_MAX));
    const whole = i32x4.trunc_sat_f32x4_s(clamped);
    codeSum4 = i32x4.add(codeSum4, whole);
    const shorts = i16x8.narrow_i32x4_s(whole, whole);
    v128.store32_lane(code, i8x16.narrow_i16x8_s(shorts, shorts), 0);
    const high = i8x16.shuffle(values, values, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    const highWhole = i8x16.shuffle(whole, whole, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    const leftA = f64x2.sub(f64x2.promote_low_f32x4(values), f64x2.mul(scale2, f64x2.convert_low_i32x4_s(whole)));
    const leftB = f64x2.sub(f64x2.promote_low_f32x4(high), f64x2.mul(scale2, f64x2.convert_low_i32x4_s(highWhole)));
    sumA = f64x2.add(sumA, f64x2.mul(leftA, leftA));
    sumB = f64x2.add(sumB, f64x2.mul(leftB, leftB));
  }
  const sum = f64x2.add(sumA, sumB);
  const residual: f64 = sqrt(f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1));
  store<f32>(scaleAt, scale);
  // Above what f64 may have lost in adding up, and above what float32 may round down.
  store<f32>(residualAt, <f32>(residual * (1.0 + 1.0 / 4194304.0) + 1e-30));
  store<i32>(codeSumAt, total(codeSum4));
}

/**
 * @param codes address of the block's first code, `stride` int8 a slot
 * @param scales address of float32 a slot: template = scale x code + residual
 * @param residuals address of float32 a slot: an upper bound of the residual's L2 norm
 * @param codeSums address of int32 a slot: the sum of its codes
 * @param first first slot of the block to look at; inclusive
 * @param end exclusive
 * @param stride bytes a slot; a multiple of 64
 * @param coarse address of `stride` uint8: the coarse codes of the probe, {@link COARSE_OFFSET} added to each
 * @param coarseScale probe = coarseScale x coarse code + coarse residual
 * @param coarseResidualFactor what a template's residual norm adds to the error of the coarse score
 * @param coarseFixedError what every template has of that error, for the coarse residual of the probe
 * @param fine address of `stride` int16: the fine codes of the probe
 * @param fineScale probe = fineScale x fine code + fine residual
 * @param fineResidualFactor as for the coarse one
 * @param fineFixedError as for the coarse one
 * @param bound scores that cannot reach it are left out
 * @param outSlots address of uint32 a slot: the slots left in
 * @param outScores address of float64 a slot: their approximate scores
 * @param outErrors address of float64 a slot: how far the true score may be from that
 * @param mask address of a byte a slot of the block, 0 = not to be reported; 0 when all may be
 * @param skips whether what is not reported is not looked at either: quicker when it is most, and slower when it is not,
 *   because the processor reads ahead only what is read in a row
 * @returns how many slots were left in
 */
export function scan(
  codes: usize,
  scales: usize,
  residuals: usize,
  codeSums: usize,
  first: i32,
  end: i32,
  stride: i32,
  coarse: usize,
  coarseScale: f64,
  coarseResidualFactor: f64,
  coarseFixedError: f64,
  fine: usize,
  fineScale: f64,
  fineResidualFactor: f64,
  fineFixedError: f64,
  bound: f64,
  outSlots: usize,
  outScores: usize,
  outErrors: usize,
  mask: usize,
  skips: bool,
): i32 {
  let found: i32 = 0;
  for (let slot = first; slot < end; slot++) {
    if (skips && load<u8>(mask + <usize>slot) == 0) continue;
    const code: usize = codes + <usize>slot * <usize>stride;
    const at: usize = (<usize>slot) << 2;
    const scale: f64 = <f64>load<f32>(scales + at);
    const residual: f64 = <f64>load<f32>(residuals + at);
    const coarseDot: i32 = dotCoarse(code, stride, coarse) - COARSE_OFFSET * load<i32>(codeSums + at);
    const coarseScore: f64 = <f64>coarseDot * (coarseScale * scale);
    if (coarseScore + (coarseResidualFactor * residual + coarseFixedError) < bound) continue;
    if (mask != 0 && load<u8>(mask + <usize>slot) == 0) continue;
    const score: f64 = <f64>dotFine(code, stride, fine) * (fineScale * scale);
    const error: f64 = fineResidualFactor * residual + fineFixedError;
    if (score + error < bound) continue;
    store<u32>(outSlots + ((<usize>found) << 2), <u32>slot);
    store<f64>(outScores + ((<usize>found) << 3), score);
    store<f64>(outErrors + ((<usize>found) << 3), error);
    found++;
  }
  return found;
}

/**
 * The relaxed instruction leaves open what a negative second operand means, and whether the sum of two products
 * saturates at 16 bits. Neither can be here: the codes of the probe are 0 to 127, and 2 x 127 x 127 < 2^15. So every
 * machine has the same sum.
 */
function dotCoarse(codes: usize, stride: i32, probe: usize): i32 {
  const stop: usize = codes + <usize>stride;
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  for (let code = codes, p = probe; code < stop; code += 64, p += 64) {
    a = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(code), v128.load(p), a);
    b = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(code, 16), v128.load(p, 16), b);
    c = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(code, 32), v128.load(p, 32), c);
    d = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(code, 48), v128.load(p, 48), d);
  }
  return total(i32x4.add(i32x4.add(a, b), i32x4.add(c, d)));
}

function dotFine(codes: usize, stride: i32, probe: usize): i32 {
  const stop: usize = codes + <usize>stride;
  let low = i32x4.splat(0);
  let high = i32x4.splat(0);
  for (let code = codes, p = probe; code < stop; code += 16, p += 32) {
    low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load_ext<i8>(code), v128.load(p)));
    high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load_ext<i8>(code, 8), v128.load(p, 16)));
  }
  return total(i32x4.add(low, high));
}

function total(sum: v128): i32 {
  return (
    i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3)
  );
}
