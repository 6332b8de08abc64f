/**
 * A real S3 server for tests: Versity's gateway to a folder, built by Go once and kept in the cache.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '#kafka/free-port.js';
import { cacheFolder } from '#platform/cache-folder.js';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw';
const VERSION = 'v1.8.0';
/** On a machine that has none of its modules, and is busy. */
const BUILD_TIMEOUT_MS = 480_000;
const START_TIMEOUT_MS = 20_000;
const PATH = [process.env['PATH'] ?? '', '/usr/local/go/bin'].join(delimiter);

export interface S3ServerForTests {
  readonly endpoint: string;
  /** For the SDK's own chain. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @returns the gateway's path, or why there is none */
export function s3Server(): { readonly path: string } | { readonly missing: string } {
  const folder = join(cacheFolder(), `versitygw-${VERSION}`);
  const path = join(folder, 'versitygw');
  if (existsSync(path)) return { path };
  if (!PATH.split(delimiter).some((bin) => existsSync(join(bin, 'go')))) return { missing: 'Go is not installed' };
  const { status, stderr, error } = spawnSync('go', ['install', '-trimpath', `${MODULE}@${VERSION}`], {
    env: { ...process.env, PATH, GOBIN: folder },
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
  });
  return status === 0 ? { path } : { missing: `it cannot be built: ${(stderr || String(error)).trim().slice(-300)}` };
}

/** @param path of the gateway */
export async function startS3Server(path: string): Promise<S3ServerForTests> {
  const home = await mkdtemp(join(tmpdir(), 's3-server-'));
  await mkdir(join(home, 'buckets'));
  await mkdir(join(home, 'versions'));
  const port = await freePort();
  const [access, secret] = ['access-for-tests', randomBytes(16).toString('hex')];
  const child = spawn(
    path,
    [
      '--port',
      `127.0.0.1:${port}`,
      '--access',
      access,
      '--secret',
      secret,
      'posix',
      '--versioning-dir',
      join(home, 'versions'),
      join(home, 'buckets'),
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const endpoint = `http://127.0.0.1:${port}`;
  const giveUpAt = Date.now() + START_TIMEOUT_MS;
  // Any answer is one: without credentials it refuses.
  while (!(await fetch(endpoint).catch(() => undefined))) {
    if (child.exitCode !== null || Date.now() > giveUpAt) throw new Error('The S3 server did not start.');
    await pause(50);
  }
  return {
    endpoint,
    environment: { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret },
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      await rm(home, { recursive: true });
    },
  };
}
