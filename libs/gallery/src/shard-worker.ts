/** The entry of a shard's worker thread: see ./shard-work.ts for what it does and ./shard-host.ts for who asks. */
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError } from '#domain/errors.js';
import { MessageBundle } from './message-bundle.js';
import { packError, type HostMessage, type ShardWorkerOptions, type WorkerMessage } from './shard-protocol.js';
import { ShardWork } from './shard-work.js';
import { diskSnapshotFs } from './snapshot-files.js';

if (parentPort === null) throw new Error('shard-worker runs as a worker thread');
const port = parentPort;
const answers = new MessageBundle<WorkerMessage>((messages) => port.postMessage(messages));

try {
  const { work, restored } = await ShardWork.start(workerData as ShardWorkerOptions, diskSnapshotFs, (error) => {
    // Outside every promise: the thread dies and the host says so. A shard with a bug must not go on answering.
    setImmediate(() => {
      throw error;
    });
  });
  port.on('message', (messages: readonly HostMessage[]) => {
    for (const message of messages) void answer(work, message);
  });
  answers.send({ kind: 'started', restored });
} catch (error) {
  if (!(error instanceof CodedError)) throw error;
  answers.send({ kind: 'not-started', error: packError(error) });
}

async function answer(work: ShardWork, message: HostMessage): Promise<void> {
  const { id } = message;
  try {
    // A search must be answered in this turn of the loop, and not after an await.
    if (message.call === 'search') answers.send({ kind: 'done', id, value: work.search(message.request) });
    else answers.send({ kind: 'done', id, value: await handle(work, message) });
  } catch (error) {
    if (error instanceof CodedError) answers.send({ kind: 'error', id, error: packError(error) });
    else work.reportBug(error);
  }
  // Nothing else keeps the thread: it ends by itself, when no native code is at work.
  if (message.call !== 'close') return;
  answers.flush();
  port.close();
}

async function handle(work: ShardWork, message: Exclude<HostMessage, { call: 'search' }>): Promise<unknown> {
  switch (message.call) {
    case 'apply':
      return work.apply(message.request);
    case 'setDispositions':
      return work.setDispositions(message.request);
    case 'snapshot':
      return work.snapshot(message.request);
    case 'stats':
      return work.stats();
    case 'report':
      return work.report();
    case 'republishable':
      return work.republishable(message.request);
    case 'digest':
      return work.digest();
    case 'settled':
      return work.settled();
    case 'discardState':
      return work.discardState(message.request);
    case 'close':
      return work.close(message.request.snapshot);
  }
}
