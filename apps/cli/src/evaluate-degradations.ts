/** In which ways, and by how much, probes are made worse: from what a phone does to what hardly anything survives. */
import type { Degradation } from '#face/degraded-image.js';

export interface NamedDegradation extends Degradation {
  readonly text: string;
}

function levels(
  kind: Degradation['kind'],
  values: readonly number[],
  text: (level: number) => string,
): NamedDegradation[] {
  return values.map((level) => ({ kind, level, text: text(level) }));
}

export const DEGRADATIONS: readonly NamedDegradation[] = [
  ...levels('small', [24, 16, 12, 8], (px) => `eyes ${px} pixels apart`),
  ...levels(
    'blurred',
    [0.03, 0.06, 0.09, 0.12],
    (share) => `blurred by ${Math.round(share * 100)} % of the eyes’ distance`,
  ),
  ...levels('dark', [0.5, 0.25, 0.12, 0.06], (factor) => `brightness × ${factor}`),
  ...levels('compressed', [50, 20, 10, 5], (quality) => `JPEG quality ${quality}`),
  ...levels('rotated', [10, 20, 30, 45, 90, 180, 270], (degrees) => `turned by ${degrees}°`),
];
