import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { s3Server, startS3Server, type S3ServerForTests } from '#testkit/s3-server-for-tests.js';
import { describeImageStore } from './image-store-for-tests.js';
import { custodyImageName } from './image-store.js';
import { S3ImageStore } from './s3-image-store.js';

const gateway = s3Server();
if ('missing' in gateway) process.stderr.write(`The image store on S3 is not tested: ${gateway.missing}.\n`);

describe.skipIf('missing' in gateway)('against a real S3 server', () => {
  let server: S3ServerForTests;
  let client: S3Client;
  let home: string;
  let keyFile: string;
  let made = 0;

  beforeAll(async () => {
    server = await startS3Server((gateway as { path: string }).path);
    for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
    client = new S3Client({ region: 'us-east-1', endpoint: server.endpoint, forcePathStyle: true });
    home = await mkdtemp(join(tmpdir(), 's3-image-store-'));
    keyFile = join(home, 'key');
    await writeFile(keyFile, randomBytes(32).toString('base64'));
  });
  afterAll(async () => {
    client.destroy();
    vi.unstubAllEnvs();
    await server.stop();
    await rm(home, { recursive: true });
  });

  async function newBucket(): Promise<string> {
    const Bucket = `images-${++made}`;
    await client.send(new CreateBucketCommand({ Bucket }));
    return Bucket;
  }
  const open = (bucket: string, endpoint = server.endpoint): Promise<S3ImageStore> =>
    S3ImageStore.open({ bucket, region: 'us-east-1', endpoint }, keyFile);

  describeImageStore('in a bucket', async () => {
    const Bucket = await newBucket();
    return {
      open: (file) => S3ImageStore.open({ bucket: Bucket, region: 'us-east-1', endpoint: server.endpoint }, file),
      objects: async () => {
        const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }));
        return (Contents ?? []).map(({ Key }) => Key!).toSorted();
      },
      read: async (Key) => {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
        return Buffer.from(await Body!.transformToByteArray());
      },
      write: async (Key, bytes) => {
        await client.send(new PutObjectCommand({ Bucket, Key, Body: bytes }));
      },
    };
  });

  it('destroys more versions than a list and a request to delete have at once', async () => {
    const store = await open(await newBucket());
    const id = 'many' as ImageId;
    for (let n = 0; n < 1_020; n += 20) {
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.put(custodyImageName(id, (n + i) as Offset), randomBytes(8))),
      );
    }
    expect(await store.deleteImages(id, 1_018 as Offset)).toBe(1_019);
    expect(await store.get(custodyImageName(id, 1_019 as Offset))).toBeDefined();
    expect(await store.deleteImages(id, 1_019 as Offset)).toBe(1);
  });

  it('is refused when the bucket keeps versions, or kept them once', async () => {
    for (const Status of ['Enabled', 'Suspended'] as const) {
      const Bucket = await newBucket();
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
      expect(await codeOfAsync(() => open(Bucket)), Status).toBe('IMAGE_STORE_KEEPS_VERSIONS');
    }
  });

  it('says that it cannot be used when there is no such bucket, no such key, or nobody who answers', async () => {
    expect(await codeOfAsync(() => open('never-made'))).toBe('IMAGE_STORE_UNAVAILABLE');
    const bucket = await newBucket();
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another');
    expect(await codeOfAsync(() => open(bucket))).toBe('IMAGE_STORE_UNAVAILABLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.environment['AWS_SECRET_ACCESS_KEY']);
    expect(await codeOfAsync(() => open(bucket, 'http://127.0.0.1:1'))).toBe('IMAGE_STORE_UNAVAILABLE');
  });
});
