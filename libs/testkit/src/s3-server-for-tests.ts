/**
 * A real S3 server for tests: Versity's gateway to a folder, built by Go once and kept in the cache.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '#kafka/free-port.js';
import { goTool } from './go-tool.js';

const START_TIMEOUT_MS = 20_000;

export interface S3ServerForTests {
  readonly endpoint: string;
  /** For the SDK's own chain. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @returns the gateway's path, or why there is none */
export function s3Server(): ReturnType<typeof goTool> {
  return goTool('github.com/versity/versitygw/cmd/versitygw', 'v1.8.0');
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
