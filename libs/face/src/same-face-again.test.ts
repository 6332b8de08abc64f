import { describe, expect, it } from 'vitest';
import { Refusal } from '#domain/errors.js';
import { chooseFace, type FaceBox, type FaceChoice } from '#domain/face.js';
import type { ProcessedFace } from './face-protocol.js';
import { processFaceAgain } from './same-face-again.js';

const boxAt = (left: number): FaceBox => ({ left, top: 0, right: left + 100, bottom: 100 });
const photograph = new Uint8Array(1);

/** A detector that finds faces in these boxes. */
function finding(...boxes: readonly FaceBox[]) {
  const faces = boxes.map((box) => ({ box, confidence: 1 }));
  return {
    process: (_bytes: Uint8Array, choice: FaceChoice | undefined): Promise<ProcessedFace> =>
      Promise.resolve().then(() => {
        const chosen = chooseFace(faces, { width: 1000, height: 100 }, choice);
        return { faces, chosen } as unknown as ProcessedFace;
      }),
  };
}

describe('a face that is looked for again', () => {
  it.each([
    ['where it was', 1, [0, 200, 400]],
    ['though there is one more before it', 2, [0, 100, 200, 400]],
    ['though one before it is not found', 0, [200, 400]],
    ['though it is the only one', 0, [200]],
    ['a few pixels beside', 1, [0, 220, 400]],
  ] as const)('is the one in its box: %s', async (_, index, lefts) => {
    const found = await processFaceAgain(finding(...lefts.map(boxAt)), photograph, { face: 1, faceBox: boxAt(200) });
    expect(found?.chosen).toBe(index);
  });

  it('is found by its box alone where its index is not known', async () => {
    const faces = finding(boxAt(0), boxAt(200));
    expect((await processFaceAgain(faces, photograph, { faceBox: boxAt(200) }))?.chosen).toBe(1);
  });

  it('is nobody else’s: without one in its box there is none', async () => {
    const faces = finding(boxAt(0), boxAt(400));
    expect(await processFaceAgain(faces, photograph, { face: 1, faceBox: boxAt(200) })).toBeUndefined();
    expect(await processFaceAgain(finding(boxAt(0)), photograph, { face: 1 })).toBeUndefined();
    expect(await processFaceAgain(faces, photograph, {})).toBeUndefined();
  });

  it('is refused as ever in a photograph without a face', async () => {
    const looked = processFaceAgain(finding(), photograph, { face: 0, faceBox: boxAt(0) });
    await expect(looked).rejects.toBeInstanceOf(Refusal);
  });
});
