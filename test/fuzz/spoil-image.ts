/** Image files as attackers, broken disks and bad software make them: real ones with something changed. */

/** Uniform in [0, 1), the same for the same seed (Steele et al., "Fast splittable pseudorandom number generators", 2014). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;
type Spoil = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

/** Values at which parsers go wrong. */
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
/** Where headers are; a change further behind meets only pixels. */
const HEADER_LENGTH = 512;

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit);
}

/** Half of the changes in the header, where there is more to break. */
function somewhere(bytes: Buffer, random: Random): number {
  return below(random() < 0.5 ? Math.min(HEADER_LENGTH, bytes.length) : bytes.length, random);
}

const SPOILS: Readonly<Record<string, Spoil>> = {
  'flipped bits': (bytes, random) => {
    const out = Buffer.from(bytes);
    for (let n = 1 + below(16, random); n > 0; n--) {
      const at = somewhere(out, random);
      out[at] = out[at]! ^ (1 << below(8, random));
    }
    return out;
  },
  'random bytes': (bytes, random) => {
    const out = Buffer.from(bytes);
    for (let n = 1 + below(32, random), at = somewhere(out, random); n > 0 && at < out.length; n--) {
      out[at++] = below(256, random);
    }
    return out;
  },
  'another length': (bytes, random) => {
    // Lengths, counts, offsets and sizes are whole numbers of 1, 2 or 4 bytes in either order.
    const out = Buffer.from(bytes);
    for (let n = 1 + below(3, random); n > 0; n--) {
      const size = [1, 2, 4][below(3, random)]!;
      const at = Math.min(somewhere(out, random), out.length - size);
      const value = EXTREMES[below(EXTREMES.length, random)]! % 2 ** (8 * size);
      if (random() < 0.5) out.writeUIntBE(value, at, size);
      else out.writeUIntLE(value, at, size);
    }
    return out;
  },
  'cut short': (bytes, random) => bytes.subarray(0, 1 + below(bytes.length, random)),
  'a part missing': (bytes, random) => {
    const at = somewhere(bytes, random);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(200, random))]);
  },
  'a part twice': (bytes, random) => {
    const at = somewhere(bytes, random);
    const end = at + 1 + below(400, random);
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
  },
  'another file inside': (bytes, random, others) => {
    const other = others[below(others.length, random)]!;
    const at = somewhere(bytes, random);
    const from = below(other.length, random);
    return Buffer.concat([
      bytes.subarray(0, at),
      other.subarray(from, from + 1 + below(2000, random)),
      bytes.subarray(at),
    ]);
  },
  'the head of another file': (bytes, random, others) => {
    const other = others[below(others.length, random)]!;
    const length = 1 + below(64, random);
    return Buffer.concat([other.subarray(0, length), bytes.subarray(length)]);
  },
};

export interface SpoiledImage {
  readonly how: string;
  readonly bytes: Buffer;
}

/** @param seed the same gives the same bytes */
export function spoil(files: readonly Buffer[], seed: number): SpoiledImage {
  const random = seededRandom(seed);
  // The first numbers of neighbouring seeds are unrelated; nothing has to be skipped.
  const file = files[below(files.length, random)]!;
  const names = Object.keys(SPOILS);
  const how = names[below(names.length, random)]!;
  return { how, bytes: SPOILS[how]!(file, random, files) };
}
