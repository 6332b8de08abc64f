import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  modelPackFolderForTests,
  modelPackForTests,
  samplePhotographsForTests,
  unlessOffline,
} from '#testkit/model-pack-for-tests.js';
import { FaceEngine } from './face-engine.js';
import { FacePool } from './face-pool.js';
import { stripJpeg } from './jpeg-strip.js';

const folder = await unlessOffline(modelPackFolderForTests());
const sample = await unlessOffline(samplePhotographsForTests());

describe.skipIf(folder === undefined || sample === undefined)('FacePool', { timeout: 60_000 }, () => {
  let pool: FacePool;
  let photograph: Buffer;
  const lost: string[] = [];

  beforeAll(async () => {
    pool = await FacePool.open({ packFolder: folder!, processes: 2, onProcessLost: (how) => lost.push(how) });
    photograph = await sample!.read(sample!.manifest.probe);
  }, 60_000);

  afterAll(() => pool?.close());

  test('gives the template that an engine in this process gives', async () => {
    const engine = await FaceEngine.open(await modelPackForTests(), { concurrency: 1 });
    const here = await engine.process(photograph, 0);
    await engine.close();
    const there = await pool.process(photograph, 0, { uprightJpeg: true });
    expect(there.embedded.template).toEqual(here.embedded.template);
    expect(there.faces).toEqual(here.faces);
    expect([...there.uprightJpeg.subarray(0, 2)]).toEqual([0xff, 0xd8]);
  });

  test('hands on a refusal with its code and its boxes', async () => {
    await expect(pool.process(photograph, undefined)).rejects.toMatchObject({
      name: 'Refusal',
      code: 'MULTIPLE_FACES',
      details: { faces: expect.arrayContaining([expect.objectContaining({ index: 0 })]) },
    });
    await expect(pool.process(Buffer.from('not an image'), undefined)).rejects.toMatchObject({
      code: 'IMAGE_FORMAT_UNSUPPORTED',
    });
  });

  test('a process that is killed is replaced, and what it worked on is done by another', async () => {
    const before = lost.length;
    const all = Array.from({ length: 8 }, () => pool.process(photograph, 0));
    await pause(20);
    process.kill(processes()[0]!, 'SIGKILL');
    const results = await Promise.all(all);
    expect(results).toHaveLength(8);
    expect(lost.length).toBe(before + 1);
  });

  test('the event loop stays free while pictures are processed', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: 10 }, () => pool.process(photograph, 0)));
    clearInterval(timer);
    // Inference in this process would leave a handful of turns; half of them says that nothing blocked for long.
    expect(turns).toBeGreaterThan((performance.now() - startedMs) / 5 / 4);
  });

  test('says that it is busy when too many wait, and closed when it is', async () => {
    const small = await FacePool.open({ packFolder: folder!, processes: 1, waitingMax: 1 });
    const accepted = [1, 2, 3].map(() => small.process(photograph, 0));
    await expect(small.process(photograph, 0)).rejects.toMatchObject({ code: 'ENGINE_BUSY', retryable: true });
    await Promise.all(accepted);
    await small.close();
    await expect(small.process(photograph, 0)).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
  });

  test('takes the probe of an operator before the pictures of a queue, however long those have waited', async () => {
    const small = await FacePool.open({ packFolder: folder!, processes: 1 });
    const done: string[] = [];
    const queued = Array.from({ length: 12 }, () => small.process(photograph, 0).then(() => done.push('queue')));
    const probe = small.process(photograph, 0, { priority: 'operator' }).then(() => done.push('operator'));
    await Promise.all([...queued, probe]);
    await small.close();
    // Two were with the process already.
    expect(done.indexOf('operator')).toBe(2);
  });

  test('has room for the probe of an operator when the queue is full, and for no more of those than may wait', async () => {
    const small = await FacePool.open({ packFolder: folder!, processes: 1, waitingMax: 1 });
    const queued = [1, 2, 3].map(() => small.process(photograph, 0));
    await expect(small.process(photograph, 0)).rejects.toMatchObject({ code: 'ENGINE_BUSY' });
    const probe = small.process(photograph, 0, { priority: 'operator' });
    await expect(small.process(photograph, 0, { priority: 'operator' })).rejects.toMatchObject({ code: 'ENGINE_BUSY' });
    await Promise.all([...queued, probe]);
    await small.close();
  });

  test('leaves no process when it is closed, and ends what was under way before', async () => {
    const others = await processesOfTwo(pool);
    const small = await FacePool.open({ packFolder: folder!, processes: 2 });
    const own = processes().filter((pid) => !others.includes(pid));
    expect(own).toHaveLength(2);
    const underWay = small.process(photograph, 0);
    await small.close();
    await expect(underWay).resolves.toMatchObject({ chosen: 0 });
    expect(processes().filter((pid) => own.includes(pid))).toEqual([]);
  });

  test('gives the upright JPEG of what has only to be stripped, and of what has to be encoded', async () => {
    const sent = await sharp(photograph)
      .resize(800)
      .withExif({ IFD0: { Artist: 'PC 1234' } })
      .jpeg()
      .toBuffer();
    const turned = await sharp(sent).rotate(90).withMetadata({ orientation: 8 }).jpeg().toBuffer();
    const upright = async (bytes: Buffer) => (await pool.process(bytes, 'largest', { uprightJpeg: true })).uprightJpeg;
    expect(Buffer.from(await upright(sent))).toEqual(stripJpeg(sent));
    const { width, height, orientation } = await sharp(await upright(turned)).metadata();
    expect({ width, height, orientation }).toEqual({ width: 800, height: expect.any(Number), orientation: undefined });
    expect((await pool.process(sent, 'largest')).uprightJpeg).toHaveLength(0);
  });

  test.each([
    ['SIGKILL', { name: 'Failure', code: 'FACE_PROCESS_LOST', retryable: true }],
    ['SIGSEGV', { name: 'Refusal', code: 'IMAGE_BREAKS_DECODER', retryable: false }],
  ] as const)(
    'a picture whose processes end twice by %s is blamed only for what a picture can do',
    async (signal, end) => {
      const others = await processesOfTwo(pool);
      const small = await FacePool.open({ packFolder: folder!, processes: 1 });
      try {
        // Many pixels, so that it is in flight for long enough to be met there.
        const large = await sharp({ create: { width: 7_000, height: 6_000, channels: 3, background: 'grey' } })
          .jpeg()
          .toBuffer();
        const [first] = processes().filter((pid) => !others.includes(pid));
        const outcome = small.process(large, 0).catch((error: unknown) => error);
        process.kill(first!, signal);
        let heir: number | undefined;
        while (heir === undefined || small.load.inFlight === 0) {
          await pause(5);
          heir ??= processes().find((pid) => !others.includes(pid) && pid !== first);
        }
        process.kill(heir, signal);
        expect(await outcome).toMatchObject(end);
        // The next one finds a process that works.
        await expect(small.process(photograph, 0)).resolves.toMatchObject({ chosen: 0 });
      } finally {
        await small.close();
      }
    },
  );

  test('a process that dies while its siblings are still started is replaced, and no picture waits for it', async () => {
    const others = await processesOfTwo(pool);
    const aloneMs = performance.now();
    await (await FacePool.open({ packFolder: folder!, processes: 1 })).close();
    const startMs = performance.now() - aloneMs;
    while (processes().length > others.length) await pause(20);
    const opening = FacePool.open({ packFolder: folder!, processes: 2 });
    const [first, second] = processes().filter((pid) => !others.includes(pid));
    process.kill(second!, 'SIGSTOP');
    await pause(3 * startMs + 500);
    process.kill(first!, 'SIGKILL');
    await pause(200);
    process.kill(second!, 'SIGCONT');
    const two = await opening;
    await Promise.all(Array.from({ length: 6 }, () => two.process(photograph, 0)));
    await two.close();
  });

  test('processes that cannot be made are said, and end nothing else', async () => {
    const { execPath } = process;
    process.execPath = '/nowhere/node';
    try {
      await expect(FacePool.open({ packFolder: folder!, processes: 2 })).rejects.toMatchObject({
        code: 'FACE_PROCESS_NOT_STARTED',
        retryable: true,
      });
    } finally {
      process.execPath = execPath;
    }
  });

  test('a pack that is not there is said, and no process is left', async () => {
    await expect(FacePool.open({ packFolder: '/nowhere', processes: 2 })).rejects.toMatchObject({
      code: 'MODEL_PACK_FILE_MISSING',
    });
  });
});

/** When all that were lost have been replaced. */
async function processesOfTwo(pool: FacePool): Promise<number[]> {
  while (processes().length < 2) await pause(20);
  await pool.process(await sample!.read(sample!.manifest.probe), 0);
  return processes();
}

/** Of all face pools in this process. */
function processes(): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid,ppid,stat,args'], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [pid, ppid, state, ...args] = line.trim().split(/\s+/);
    const own = Number(ppid) === process.pid && !state!.startsWith('Z') && args.join(' ').includes('face-process.js');
    return own ? [Number(pid)] : [];
  });
}
