/** The finder that a pack's detector asks for. */
import type { FaceFinder } from './face-finder.js';
import type { ModelPack } from './model-pack.js';
import { unsuitable } from './network-input.js';
import { UlfgFinder } from './ulfg.js';
import { YunetFinder } from './yunet.js';

/** @throws Failure MODEL_PACK_UNSUITABLE */
export function openFaceFinder({ manifest, paths }: ModelPack): Promise<FaceFinder> {
  const { detector } = manifest;
  switch (detector.kind) {
    case 'ulfg+lm68':
      // The manifest's schema has seen to it; a pack that was put together by hand may not have.
      if (paths.landmarks === undefined) return Promise.reject(unsuitable('detector', 'needs a landmark network'));
      return UlfgFinder.open(paths.detector, paths.landmarks, detector);
    case 'yunet':
      return YunetFinder.open(paths.detector, detector);
  }
}
