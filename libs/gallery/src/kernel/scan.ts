/**
 * The two inner loops of the exact engine, in AssemblyScript: what codes a template in 8 bits, and what compares a
 * 16-bit probe with such codes and reports the few whose score may still reach `bound`. Compiled by
 * `npm run build:kernel`; called from ../exact-engine.ts, which holds the proof of the error bound.
 *
 * Every figure that decides is in f64; only the dot product is in integers, where it is exact.
 */

/** The greatest code: -128 is left out, so that a sum of 1024 products fits an int32. */
const CODE_MAX: f32 = 127.0;

/**
 * Codes one template: the codes, the scale, and an upper bound of the norm of what they leave out. The code need not be
 * the nearest one, as the bound is computed from the code and the scale that are stored.
 *
 * @param vector address of `stride` float32, zeros beyond the template's dimensions; 16-byte aligned
 * @param stride a multiple of 16
 * @param codes address of `stride` int8 to be written
 * @param scaleAt address of a float32 to be written
 * @param residualAt address of a float32 to be written
 */
export function encode(vector: usize, stride: i32, codes: usize, scaleAt: usize, residualAt: usize): void {
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
  for (let at = vector, code = codes; at < stop; at += 16, code += 4) {
    const values = v128.load(at);
    // A zero vector has the scale zero; 0 / 0 is made a code of zero by the saturating conversion.
    const rounded = f32x4.nearest(f32x4.div(values, scale4));
    const clamped = f32x4.max(f32x4.min(rounded, f32x4.splat(CODE_MAX)), f32x4.splat(-CODE_MAX));
    const whole = i32x4.trunc_sat_f32x4_s(clamped);
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
}

/**
 * @param codes address of the block's first code, `stride` int8 a slot
 * @param scales address of float32 a slot: template = scale x code + residual
 * @param residuals address of float32 a slot: an upper bound of the residual's L2 norm
 * @param first first slot of the block to look at; inclusive
 * @param end exclusive
 * @param stride bytes a slot; a multiple of 16
 * @param probe address of `stride` int16
 * @param probeScale probe = probeScale x code + residual
 * @param residualFactor what a template's residual norm adds to the error
 * @param fixedError what every template has of error, for the residual of the probe
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
  first: i32,
  end: i32,
  stride: i32,
  probe: usize,
  probeScale: f64,
  residualFactor: f64,
  fixedError: f64,
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
    let code: usize = codes + <usize>slot * <usize>stride;
    const stop: usize = code + <usize>stride;
    let p: usize = probe;
    let low = i32x4.splat(0);
    let high = i32x4.splat(0);
    while (code < stop) {
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load_ext<i8>(code), v128.load(p)));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load_ext<i8>(code, 8), v128.load(p, 16)));
      code += 16;
      p += 32;
    }
    const sum = i32x4.add(low, high);
    const dot: i32 =
      i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    const at: usize = (<usize>slot) << 2;
    const score: f64 = <f64>dot * (probeScale * <f64>load<f32>(scales + at));
    const error: f64 = residualFactor * <f64>load<f32>(residuals + at) + fixedError;
    if (score + error >= bound) {
      if (mask != 0 && load<u8>(mask + <usize>slot) == 0) continue;
      store<u32>(outSlots + ((<usize>found) << 2), <u32>slot);
      store<f64>(outScores + ((<usize>found) << 3), score);
      store<f64>(outErrors + ((<usize>found) << 3), error);
      found++;
    }
  }
  return found;
}
