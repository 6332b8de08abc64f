/** The entry of a process of a {@link FacePool}: one engine, asked over the channel to its parent. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encodeUprightJpeg, strippedJpeg, type DecodedImage } from './decode.js';
import { FaceEngine } from './face-engine.js';
import { giveBack } from './give-back.js';
import {
  FORGET_PADDING,
  packError,
  type ForgetRequest,
  type ProcessAnswer,
  type ProcessRequest,
} from './face-protocol.js';
import { loadModelPack } from './model-pack.js';

const NOTHING = new Uint8Array(0);
/** The second time, what hung on what the first has let go. */
const COLLECT_AFTER_MS = [0, 1_000];

function answer(message: ProcessAnswer): void {
  process.send?.(message);
}

async function main(packFolder: string): Promise<void> {
  // A pool of small buffers stays for as long as any of them is used, with all that was ever in it.
  Buffer.poolSize = 0;
  // Its parent is gone, however it went.
  process.once('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent decides when it is done here.
  process.on('SIGINT', () => undefined);
  try {
    // One at a time: two on one core are in each other's way, and what a picture waits for is done by nobody meanwhile.
    const engine = await FaceEngine.open(await loadModelPack(packFolder), { concurrency: 1 });
    const collect = collector();
    process.on('message', (request: ProcessRequest | ForgetRequest) => {
      if ('forget' in request) forget(collect);
      else void handle(engine, request);
    });
    answer({ kind: 'ready', dimension: engine.dimension, modelId: engine.modelId });
  } catch (error) {
    answer({ kind: 'not-ready', error: packError(error) });
  }
}

async function handle(engine: FaceEngine, request: ProcessRequest): Promise<void> {
  const { id } = request;
  try {
    const processed = await engine.process(request.bytes, request.choice);
    const { image, rotation, faces, chosen, embedded, timingsMs } = processed;
    const uprightJpeg = request.uprightJpeg ? await uprightJpegOf(image, request.bytes) : NOTHING;
    const { width, height } = image;
    const result = { width, height, rotation, faces, chosen, embedded, timingsMs, uprightJpeg };
    answer({ kind: 'processed', id, result });
    giveBack(image.rgb);
    giveBack(embedded.template);
  } catch (error) {
    answer({ kind: 'error', id, error: packError(error) });
  } finally {
    request.bytes.fill(0);
  }
}

function forget(collect: () => void): void {
  for (const ms of COLLECT_AFTER_MS) setTimeout(collect, ms).unref();
  answer({ kind: 'forgotten', padding: FORGET_PADDING });
}

/** Node hands it out to a context that is made after it was allowed. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

async function uprightJpegOf(image: DecodedImage, bytes: Uint8Array): Promise<Uint8Array | 'strip'> {
  return strippedJpeg(image, bytes) === undefined ? encodeUprightJpeg(image, bytes) : 'strip';
}

await main(process.argv[2]!);
