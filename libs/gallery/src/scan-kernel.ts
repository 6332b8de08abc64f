/** Loads the WebAssembly of kernel/scan.ts, which `npm run build:kernel` compiles into dist. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Failure } from '#domain/errors.js';

/** See kernel/scan.ts for the meaning of each. */
export type ScanFunction = (
  codes: number,
  scales: number,
  residuals: number,
  codeSums: number,
  first: number,
  end: number,
  stride: number,
  coarse: number,
  coarseScale: number,
  coarseResidualFactor: number,
  coarseFixedError: number,
  fine: number,
  fineScale: number,
  fineResidualFactor: number,
  fineFixedError: number,
  bound: number,
  outSlots: number,
  outScores: number,
  outErrors: number,
  mask: number,
  skips: boolean,
) => number;

/** See kernel/scan.ts for the meaning of each. */
export type EncodeFunction = (
  vector: number,
  stride: number,
  codes: number,
  scaleAt: number,
  residualAt: number,
  codeSumAt: number,
) => void;

export interface ScanKernel {
  readonly scan: ScanFunction;
  readonly encode: EncodeFunction;
  /** Of this instance alone. Whoever loads it lays it out, from {@link KERNEL_PAGE_BYTES} on. */
  readonly memory: WebAssembly.Memory;
}

/** Below it lie the compiler's own statics; WebAssembly grows by pages of this size. */
export const KERNEL_PAGE_BYTES = 65_536;

let compiled: WebAssembly.Module | undefined;

/** @throws Failure KERNEL_NOT_BUILT */
export function loadScanKernel(): ScanKernel {
  compiled ??= new WebAssembly.Module(readKernel());
  const { scan, encode, memory } = new WebAssembly.Instance(compiled, {}).exports;
  return { scan: scan as ScanFunction, encode: encode as EncodeFunction, memory: memory as WebAssembly.Memory };
}

function readKernel(): Uint8Array<ArrayBuffer> {
  const fromSource = import.meta.url.endsWith('.ts');
  const folder = fromSource ? '../../../dist/libs/gallery/src/kernel/' : './kernel/';
  try {
    return new Uint8Array(readFileSync(fileURLToPath(new URL(`${folder}scan.wasm`, import.meta.url))));
  } catch (cause) {
    throw new Failure('KERNEL_NOT_BUILT', 'The search kernel is missing; npm run build:kernel makes it.', false, {
      cause,
    });
  }
}
