/** One core's worth of the bare pipeline, in a process of its own: inference blocks the thread that calls it. */
import { ReferencePipeline } from './pipeline.js';

const pipeline = await ReferencePipeline.open(process.argv[2]!);

async function run(images: readonly Uint8Array[]): Promise<void> {
  const templates: Float32Array[] = [];
  for (const bytes of images) templates.push((await pipeline.run(bytes, 'central')).template);
  process.send!(templates);
}

process.on('message', (images: readonly Uint8Array[]) => void run(images));
process.once('disconnect', () => process.exit(0));
process.send!('ready');
