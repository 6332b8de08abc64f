/** One core's worth of the bare pipeline, in a process of its own: inference blocks the thread that calls it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ReferencePipeline } from './pipeline.js';

/** Its share of the images, and where each is to be kept, as it came; undefined: nowhere. */
export interface ReferenceWork {
  readonly images: readonly Uint8Array[];
  readonly folder: string | undefined;
}

const pipeline = await ReferencePipeline.open(process.argv[2]!);
/** A gallery keeps every photograph: each is a new file, which costs more than writing over one. */
let kept = 0;

async function run({ images, folder }: ReferenceWork): Promise<void> {
  const templates: Float32Array[] = [];
  for (const bytes of images) {
    templates.push((await pipeline.run(bytes, 'central')).template);
    if (folder !== undefined) await writeFile(join(folder, `${process.pid}-${kept++}.jpg`), bytes);
  }
  process.send!(templates);
}

process.on('message', (work: ReferenceWork) => void run(work));
process.once('disconnect', () => process.exit(0));
process.send!('ready');
