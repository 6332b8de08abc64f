/**
 * The image store as a bucket of an S3-compatible object store. A PUT there is atomic and durable when it is answered.
 *
 * What is erased must be gone, so a bucket that keeps versions, or may not delete, is refused at start. Credentials are
 * those of the AWS SDK's own chain: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SHARED_CREDENTIALS_FILE, or a web
 * identity.
 */
import {
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListObjectsV2Command,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { Failure } from '#domain/errors.js';
import type { ImageId, Offset } from '#domain/ids.js';
import { ImageSeal } from './image-seal.js';
import {
  imagePrefix,
  latestVersion,
  versionsOf,
  type ImageStore,
  type ObjectName,
  type SealedObjects,
} from './image-store.js';

export interface S3Bucket {
  readonly bucket: string;
  readonly region: string;
  /** Of another object store than Amazon's: its URL. */
  readonly endpoint: string | undefined;
}

const CONNECTION_TIMEOUT_MS = 3_000;
const REQUEST_TIMEOUT_MS = 15_000;
const ATTEMPTS = 4;
/** Pictures that are put and read beside each other by one process. */
const CONNECTIONS = 64;

export class S3ImageStore implements ImageStore, SealedObjects {
  private constructor(
    private readonly client: S3Client,
    private readonly bucket: string,
    private readonly seal: ImageSeal,
  ) {}

  /** @throws Failure IMAGE_STORE_KEY_UNREADABLE, IMAGE_STORE_UNAVAILABLE, IMAGE_STORE_KEEPS_VERSIONS */
  static async open({ bucket, region, endpoint }: S3Bucket, keyFile: string): Promise<S3ImageStore> {
    const seal = await ImageSeal.withKeysOf(keyFile);
    const client = new S3Client({
      region,
      maxAttempts: ATTEMPTS,
      // Stores other than Amazon's are reached by path, and not all of them know its newer checksums; every object
      // authenticates itself.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: CONNECTION_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        throwOnRequestTimeout: true,
        httpAgent: { maxSockets: CONNECTIONS, keepAlive: true },
        httpsAgent: { maxSockets: CONNECTIONS, keepAlive: true },
      },
    });
    const store = new S3ImageStore(client, bucket, seal);
    await store.refuseKept();
    return store;
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    await this.putSealed(name, this.seal.seal(name, bytes));
  }

  async putSealed(name: ObjectName, sealed: Uint8Array): Promise<void> {
    await this.ask('put', () =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.bucket,
          Key: name,
          Body: sealed,
          ContentType: 'application/octet-stream',
        }),
      ),
    );
  }

  async get(name: ObjectName): Promise<Buffer | undefined> {
    const sealed = await this.getSealed(name);
    return sealed && this.seal.open(name, sealed);
  }

  async getSealed(name: ObjectName): Promise<Buffer | undefined> {
    const sealed = await this.ask('get', async () => {
      try {
        const { Body } = await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key: name }));
        return await Body!.transformToByteArray();
      } catch (error) {
        if (error instanceof NoSuchKey) return undefined;
        throw error;
      }
    });
    return sealed && Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  }

  async *names(after?: ObjectName): AsyncIterable<ObjectName> {
    let next: string | undefined;
    do {
      const page = await this.ask('list', () =>
        this.client.send(new ListObjectsV2Command({ Bucket: this.bucket, StartAfter: after, ContinuationToken: next })),
      );
      for (const { Key } of page.Contents ?? []) if (Key!.endsWith('.sealed')) yield Key as ObjectName;
      next = page.NextContinuationToken;
    } while (next !== undefined);
  }

  async delete(name: ObjectName): Promise<void> {
    await this.deleteAll([name]);
  }

  deleteImages(id: ImageId, through: Offset): Promise<number> {
    return this.deleteVersions(id, (sourceOffset) => sourceOffset <= through);
  }

  deleteOlderImages(id: ImageId, current: Offset): Promise<number> {
    return this.deleteVersions(id, (sourceOffset) => sourceOffset < current);
  }

  /** A bucket with versions keeps what is deleted; one with a lock does not delete at all. */
  private async refuseKept(): Promise<void> {
    const kept = await this.ask('open', async () => {
      const { Status } = await this.client.send(new GetBucketVersioningCommand({ Bucket: this.bucket }));
      // Suspended: what was kept before is kept still.
      if (Status !== undefined) return `versioning is ${Status.toLowerCase()}`;
      try {
        const { ObjectLockConfiguration } = await this.client.send(
          new GetObjectLockConfigurationCommand({ Bucket: this.bucket }),
        );
        return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled' ? 'objects are locked' : undefined;
      } catch (error) {
        if (error instanceof S3ServiceException && NO_LOCK.has(error.name)) return undefined;
        throw error;
      }
    });
    if (kept === undefined) return;
    throw new Failure(
      'IMAGE_STORE_KEEPS_VERSIONS',
      `In the bucket ${this.bucket} ${kept}, so that what is erased would stay. Use one without versions and locks.`,
      false,
    );
  }

  async latestImage(id: ImageId): Promise<Offset | undefined> {
    return latestVersion(versionsOf(id, await this.namesOf(id)));
  }

  private async deleteVersions(id: ImageId, isToGo: (sourceOffset: Offset) => boolean): Promise<number> {
    const { folder } = imagePrefix(id);
    const versions = versionsOf(id, await this.namesOf(id));
    const toGo = versions.filter(({ sourceOffset }) => isToGo(sourceOffset));
    await this.deleteAll(toGo.map(({ fileName }) => `${folder}/${fileName}`));
    return toGo.length;
  }

  /** Of every object of this image, without their folder. */
  private async namesOf(id: ImageId): Promise<string[]> {
    const { folder, stem } = imagePrefix(id);
    const names: string[] = [];
    let next: string | undefined;
    do {
      const { Contents, NextContinuationToken } = await this.ask('list', () =>
        this.client.send(
          new ListObjectsV2Command({ Bucket: this.bucket, Prefix: `${folder}/${stem}.`, ContinuationToken: next }),
        ),
      );
      for (const { Key } of Contents ?? []) names.push(Key!.slice(folder.length + 1));
      next = NextContinuationToken;
    } while (next !== undefined);
    return names;
  }

  private async deleteAll(names: readonly string[]): Promise<void> {
    for (let i = 0; i < names.length; i += DELETED_AT_ONCE) {
      const Objects = names.slice(i, i + DELETED_AT_ONCE).map((Key) => ({ Key }));
      const { Errors } = await this.ask('delete', () =>
        this.client.send(new DeleteObjectsCommand({ Bucket: this.bucket, Delete: { Objects, Quiet: true } })),
      );
      const [first] = Errors ?? [];
      if (first !== undefined) throw unavailable(`it does not delete: ${first.Code}`);
    }
  }

  private async ask<T>(what: string, send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw unavailable(
        `it does not answer "${what}"${error instanceof S3ServiceException ? ` but ${error.name}` : ''}`,
        error,
      );
    }
  }
}

/** S3's own limit. */
const DELETED_AT_ONCE = 1_000;
/** What stores say of a bucket that was made without locks, and those that know none. */
const NO_LOCK = new Set(['ObjectLockConfigurationNotFoundError', 'NoSuchObjectLockConfiguration', 'NotImplemented']);

function unavailable(why: string, cause?: unknown): Failure {
  return new Failure('IMAGE_STORE_UNAVAILABLE', `The image store cannot be used: ${why}.`, true, { cause });
}
