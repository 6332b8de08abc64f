/**
 * The first pass of the exact engine, in AssemblyScript: compares a 16-bit probe with 8-bit templates and reports the
 * few whose score may still reach `bound`. Compiled by `npm run build:kernel`; called from ../exact-engine.ts, which
 * holds the proof of the error bound.
 *
 * Every figure that decides is in f64; only the dot product is in integers, where it is exact.
 */

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
): i32 {
  let found: i32 = 0;
  for (let slot = first; slot < end; slot++) {
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
      store<u32>(outSlots + ((<usize>found) << 2), <u32>slot);
      store<f64>(outScores + ((<usize>found) << 3), score);
      store<f64>(outErrors + ((<usize>found) << 3), error);
      found++;
    }
  }
  return found;
}
