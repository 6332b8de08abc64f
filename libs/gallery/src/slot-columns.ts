/** Typed arrays with a value a slot, that grow with the slots there are. */

/** Slots a block: 8 MiB of float32 at 512 dimensions, so that growing costs a few milliseconds and wastes little. */
export const SLOTS_PER_BLOCK = 4096;

type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array;

/**
 * The column itself where it has the slot already; otherwise one twice as long at least, with the same values.
 *
 * @param create of what a slot without a value has
 */
export function grownFor<C extends Column>(slot: number, column: C, create: (length: number) => C): C {
  if (slot < column.length) return column;
  const grown = create(Math.max(slot + 1, column.length * 2));
  grown.set(column);
  return grown;
}

/** The bytes of the first `count` values; a view. */
export function bytesOf(column: Column | Int8Array | Float32Array, count = column.length): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, count * column.BYTES_PER_ELEMENT);
}
