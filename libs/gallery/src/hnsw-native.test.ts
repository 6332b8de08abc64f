import { expect, it } from 'vitest';
import { loadHnswlib, requireMachineFor } from './hnsw-native.js';

const CPU_INFO = 'processor\t: 0\nflags\t\t: fpu sse sse2 avx avx2x fma\nbogomips\t: 4000\n\nprocessor\t: 1\n';

it('refuses an addon that was built for instructions that the machine has not, and names them', () => {
  expect(() => requireMachineFor('avx avx2 fma bmi2', CPU_INFO)).toThrow(
    expect.objectContaining({
      code: 'NATIVE_BUILD_NOT_FOR_THIS_MACHINE',
      retryable: false,
      publicText: expect.stringMatching(/with avx2, bmi2, which .*npm run build:native.*HNSWLIB_TARGET=baseline/),
    }),
  );
});

it('loads what the machine can run, and what nothing is known of', () => {
  expect(() => requireMachineFor('avx fma\n', CPU_INFO)).not.toThrow();
  expect(() => requireMachineFor('', CPU_INFO)).not.toThrow();
  expect(() => requireMachineFor('avx2', '')).not.toThrow();
  expect(loadHnswlib().HierarchicalNSW).toBeTypeOf('function');
});
