/** The entry of a process of a {@link FacePool}: one engine, asked over the channel to its parent. */
import { encodeUprightJpeg, strippedJpeg, type DecodedImage } from './decode.js';
import { FaceEngine } from './face-engine.js';
import { packError, type ProcessAnswer, type ProcessRequest } from './face-protocol.js';
import { loadModelPack } from './model-pack.js';

const NOTHING = new Uint8Array(0);

function answer(message: ProcessAnswer): void {
  process.send?.(message);
}

async function main(packFolder: string): Promise<void> {
  // Its parent is gone, however it went.
  process.once('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent decides when it is done here.
  process.on('SIGINT', () => undefined);
  try {
    // One at a time: two on one core are in each other's way, and what a picture waits for is done by nobody meanwhile.
    const engine = await FaceEngine.open(await loadModelPack(packFolder), { concurrency: 1 });
    process.on('message', (request: ProcessRequest) => void handle(engine, request));
    answer({ kind: 'ready', dimension: engine.dimension, modelId: engine.modelId });
  } catch (error) {
    answer({ kind: 'not-ready', error: packError(error) });
  }
}

async function handle(engine: FaceEngine, request: ProcessRequest): Promise<void> {
  const { id } = request;
  try {
    const { image, faces, chosen, embedded, timingsMs } = await engine.process(request.bytes, request.choice);
    const uprightJpeg = request.uprightJpeg ? await uprightJpegOf(image, request.bytes) : NOTHING;
    const { width, height } = image;
    answer({ kind: 'processed', id, result: { width, height, faces, chosen, embedded, timingsMs, uprightJpeg } });
  } catch (error) {
    answer({ kind: 'error', id, error: packError(error) });
  }
}

async function uprightJpegOf(image: DecodedImage, bytes: Uint8Array): Promise<Uint8Array | 'strip'> {
  return strippedJpeg(image, bytes) === undefined ? encodeUprightJpeg(image, bytes) : 'strip';
}

await main(process.argv[2]!);
