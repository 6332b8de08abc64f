/** The bare pipeline on several cores: a process each, every one with its share of the images from the start. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export class ReferencePool {
  private constructor(private readonly processes: readonly ChildProcess[]) {}

  static async open(packFolder: string, processes: number): Promise<ReferencePool> {
    const entry = fileURLToPath(new URL('./worker.js', import.meta.url));
    const children = Array.from({ length: processes }, () => fork(entry, [packFolder], { serialization: 'advanced' }));
    await Promise.all(children.map((child) => once(child, 'message')));
    return new ReferencePool(children);
  }

  /** @returns the templates, in no particular order */
  async run(images: readonly Uint8Array[]): Promise<Float32Array[]> {
    const answers = this.processes.map(async (child, i) => {
      const answer = once(child, 'message');
      child.send(images.filter((_, j) => j % this.processes.length === i));
      return (await answer)[0] as Float32Array[];
    });
    return (await Promise.all(answers)).flat();
  }

  close(): void {
    for (const child of this.processes) child.disconnect();
  }
}
