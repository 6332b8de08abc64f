import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accessOf, topicsUsedBy } from '#contracts/access.js';
import { desiredTopics, GALLERY_QUERIES, GALLERY_REPLIES } from '#contracts/topics.js';
import { codeOf, codeOfAsync } from '#domain/codes-for-tests.js';
import { modelId } from '#domain/ids.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { SecureBroker, type ShownBy } from '#testkit/secure-broker.js';
import { TestAuthority } from '#testkit/test-certificates.js';
import type { AccessAdmin } from './access-admin.js';
import { KafkaClient } from './kafka-client.js';
import type { KafkaLog } from './kafka-record.js';
import type { KafkaSecurity } from './kafka-security.js';
import { describeMissing } from './own-access.js';

const USER = 'custody-index';
const topics = topicsUsedBy(
  USER,
  desiredTopics({ modelId: modelId('0123456789abcdef'), profile: 'local', replication: 1 }),
);

let broker: SecureBroker;
let admin: KafkaClient;
let access: AccessAdmin;
beforeAll(async () => {
  broker = await SecureBroker.start([USER]);
  admin = clientForTests(broker.adminBrokers);
  await admin.topicAdmin().applyTopics(topics);
  access = admin.accessAdmin((principal) => `User:${principal}`);
  await access.grant(accessOf(USER));
}, 120_000);
afterAll(async () => {
  await admin?.close();
  await broker?.dispose();
});

function clientOf(by: ShownBy, security: KafkaSecurity = broker.security(USER, by), log = silentLog): KafkaClient {
  return new KafkaClient({ brokers: [broker.brokersFor(by)], clientId: USER, log, security });
}

function refusalOf(by: ShownBy, security: KafkaSecurity): Promise<string | undefined> {
  return codeOfAsync(() => clientOf(by, security).topicAdmin().clusterId());
}

/** Reads `gallery.queries` from its end until stopped. */
async function readQueries(client: KafkaClient): Promise<string[]> {
  const read: string[] = [];
  const reader = client.logReader({
    topic: GALLERY_QUERIES,
    partitions: [0],
    from: 'end',
    onBatch: ({ records }) => {
      for (const { value } of records) read.push(String(value));
      return Promise.resolve();
    },
    onFatal: (error) => read.push(String(error)),
  });
  await reader.start();
  return read;
}

describe.each(['password', 'certificate'] as const)('a client that shows who it is by %s', (by) => {
  it('writes and reads what its ACLs permit, and lacks none of the rights of its table', async () => {
    const client = clientOf(by);
    try {
      const read = await readQueries(client);
      await admin.publisher().publish({ topic: GALLERY_QUERIES, key: null, value: by });
      await client.publisher().publish({ topic: GALLERY_REPLIES, key: null, value: 'reply' }, 10_000);
      await eventually(() => expect(read).toEqual([by]));
      expect(await client.ownAccess(USER, topics).missing()).toEqual([]);
    } finally {
      await client.close();
    }
  });

  it('is told when it may not write to a topic', async () => {
    const client = clientOf(by);
    try {
      const record = { topic: GALLERY_QUERIES, key: null, value: 'not mine to write' };
      expect(await codeOfAsync(() => client.publisher().publish(record, 10_000))).toBe('KAFKA_NOT_AUTHORISED');
    } finally {
      await client.close();
    }
  });
});

describe('credentials', () => {
  it('that are wrong are said to be, and not taken for a broker that is away', async () => {
    const other = await TestAuthority.create(join(broker.folder, 'other'), 'other-authority');
    const { certFile, keyFile } = await other.issue(USER, join(broker.folder, 'other'));
    const wrong = join(broker.folder, 'wrong.password');
    await writeFile(wrong, 'not the password\n');
    const { tls, sasl } = broker.security(USER, 'password');
    const caFile = tls!.caFile!;
    expect(await refusalOf('password', { tls: tls!, sasl: { ...sasl!, passwordFile: wrong } })).toBe(
      'KAFKA_NOT_AUTHENTICATED',
    );
    expect(await refusalOf('password', { tls: { caFile: other.certificateFile }, sasl: sasl! })).toBe(
      'KAFKA_NOT_AUTHENTICATED',
    );
    expect(await refusalOf('certificate', { tls: { caFile, certFile, keyFile } })).toBe('KAFKA_NOT_AUTHENTICATED');
    expect(await refusalOf('certificate', { tls: { caFile } })).toBe('KAFKA_NOT_AUTHENTICATED');
  });

  it('whose file is missing end the start, with its name', () => {
    const security = { tls: { caFile: join(broker.folder, 'missing.pem') } };
    expect(codeOf(() => clientOf('certificate', security))).toBe('KAFKA_CREDENTIALS_UNREADABLE');
  });

  it('are in no log line, whether they are right or wrong', async () => {
    const lines: string[] = [];
    const keep = (event: string, fields: object) => lines.push(`${event} ${JSON.stringify(fields)}`);
    const log: KafkaLog = { debug: keep, info: keep, warn: keep, error: keep };
    const wrong = join(broker.folder, 'wrong.password');
    await writeFile(wrong, 'a-password-that-is-wrong\n');
    const byPassword = broker.security(USER, 'password');
    const byCertificate = broker.security(USER, 'certificate');
    const tries = [
      clientOf('password', byPassword, log),
      clientOf('password', { ...byPassword, sasl: { ...byPassword.sasl!, passwordFile: wrong } }, log),
      clientOf('certificate', byCertificate, log),
      clientOf('certificate', { tls: { caFile: byCertificate.tls!.caFile! } }, log),
    ];
    for (const client of tries) {
      const record = { topic: GALLERY_REPLIES, key: null, value: 'x' };
      await client.publisher().publish(record, 2_000).catch(keep.bind(undefined, 'failed'));
      await codeOfAsync(() => client.topicAdmin().clusterId());
      await client.close();
    }
    expect(lines.length).toBeGreaterThan(5);
    const key = await readFile(byCertificate.tls!.keyFile!, 'utf8');
    const secrets = [
      (await readFile(byPassword.sasl!.passwordFile, 'utf8')).trim(),
      'a-password-that-is-wrong',
      ...key.split('\n').filter((line) => line !== '' && !line.startsWith('-----')),
    ];
    for (const secret of secrets) expect(lines.filter((line) => line.includes(secret))).toEqual([]);
  });
});

describe('a right that is taken away', () => {
  it.each(accessOf(USER))('is missed: $operation on $resource.name', async (one) => {
    const client = clientOf('certificate');
    const own = client.ownAccess(USER, topics);
    try {
      await access.revoke([one]);
      const missing = await eventually(async () => {
        const found = await own.missing();
        expect(found).not.toEqual([]);
        return found;
      });
      expect(missing).toEqual([one]);
      expect(describeMissing(missing)).toContain(`may not ${one.operation} on topic ${one.resource.name}`);
    } finally {
      await access.grant([one]);
      await client.close();
    }
    await eventually(async () => expect(await own.missing()).toEqual([]));
  });

  it('makes a service that runs say so, and say when it is given back', async () => {
    const client = clientOf('password');
    const said: (string | undefined)[] = [];
    const own = client.ownAccess(USER, topics);
    const watching = own.watch((missing) => said.push(missing), 50);
    const read = accessOf(USER).find(({ resource }) => resource.name === GALLERY_QUERIES)!;
    try {
      await access.revoke([read]);
      await eventually(() => expect(said).toEqual(['KAFKA_NOT_AUTHORISED: may not read on topic gallery.queries.v1']));
      await access.grant([read]);
      await eventually(() => expect(said.at(-1)).toBe(undefined));
    } finally {
      await access.grant([read]);
      await own.close();
      await watching;
      await client.close();
    }
  });

  it('is missed also for galleries that nobody has yet', async () => {
    const all = accessOf(USER).filter(({ resource }) => resource.pattern === 'prefixed');
    const literal = all.map((one) => ({
      ...one,
      resource: { kind: 'topic', pattern: 'literal', name: 'gallery.templates.0123456789abcdef.v1' } as const,
    }));
    const client = clientOf('password');
    const own = client.ownAccess(USER, topics);
    try {
      await access.grant(literal);
      await access.revoke(all);
      await eventually(async () => {
        expect((await own.missing()).map(({ operation }) => operation)).toEqual(['read', 'write']);
      });
    } finally {
      await access.grant(all);
      await access.revoke(literal);
      await client.close();
    }
  });

  it('is granted again as the table has it, and the brokers list nothing else', async () => {
    expect(await access.grantedTo(USER)).toEqual(new Set(accessOf(USER).map((one) => access.text(one))));
  });
});
