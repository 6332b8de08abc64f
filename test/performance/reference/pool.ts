/** The bare pipeline on several cores: a process each, every one with its share of the images from the start. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ReferenceWork } from './worker.js';

export class ReferencePool {
  private constructor(private readonly processes: readonly ChildProcess[]) {}

  static async open(packFolder: string, processes: number): Promise<ReferencePool> {
    const entry = fileURLToPath(new URL('./worker.js', import.meta.url));
    const children = Array.from({ length: processes }, () => fork(entry, [packFolder], { serialization: 'advanced' }));
    await Promise.all(children.map((child) => once(child, 'message')));
    return new ReferencePool(children);
  }

  /**
   * @param folder where each image is written too, as it came: the least that keeping it can cost
   * @returns the templates, in no particular order
   */
  async run(images: readonly Uint8Array[], folder?: string): Promise<Float32Array[]> {
    const answers = this.processes.map(async (child, i) => {
      const answer = once(child, 'message');
      const share = images.filter((_, j) => j % this.processes.length === i);
      child.send({ images: share, folder } satisfies ReferenceWork);
      return (await answer)[0] as Float32Array[];
    });
    return (await Promise.all(answers)).flat();
  }

  close(): void {
    for (const child of this.processes) child.disconnect();
  }
}
