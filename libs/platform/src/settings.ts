/**
 * Every setting, in one table: the name in the environment, what it means, its default. Read and checked once, at start;
 * docs/configuration.md is compared with this table by a test.
 */
import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { availableParallelism, hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { KAFKA_SETTINGS, kafkaConnection } from './kafka-settings.js';
import { count, port, setting, share, type Setting, type Values } from './setting.js';

/** The public keys of the issuer that `npm start` makes; its private key lies beside them. */
function localIssuerFile(dataFolder: string): string {
  return join(dataFolder, 'keys', 'issuer.jwks.json');
}

export const SETTINGS = {
  DATA_DIR: setting(
    z.string().transform((path) => resolve(path)),
    './data',
    'Folder of everything that is kept on this machine.',
  ),
  ...KAFKA_SETTINGS,
  TOPIC_PROFILE: setting(
    z.enum(['local', 'production']),
    'local',
    'Topic settings: with `local` a log is compacted seconds after the next write to it, with `production` within a day.',
  ),
  LOG_REWRITE_BYTES_PER_SECOND: setting(
    count(1, 1_000_000_000_000),
    '33554432',
    'What a broker’s disk may be made to write so that the erased goes from the logs in time; `topics check` and `apply` refuse a bound that would need more.',
  ),
  HOST: setting(z.string(), '127.0.0.1', 'Address that the HTTP servers bind to.'),
  QUERY_PORT: setting(port, '8080', 'HTTP port of the query service.'),
  INGEST_PORT: setting(port, '8081', 'HTTP port of the ingest service.'),
  INDEX_PORT: setting(port, '8082', 'HTTP port of the index service.'),
  DRAIN_SECONDS: setting(
    count(0, 15),
    '0',
    'How long a service that is asked to stop still answers, not ready, so that balancers turn to another: part of the 25 s that it has.',
  ),
  GENERATION_PORT: setting(port, '8079', 'HTTP port of the process that builds the gallery of the next model.'),
  LOG_LEVEL: setting(
    z.enum(['debug', 'info', 'warn', 'error']),
    'info',
    'The least severe log lines that are written.',
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: setting(
    z.union([z.literal(''), z.url({ protocol: /^https?$/ })]),
    '',
    'URL of the OpenTelemetry collector that traces are sent to, as OTLP over HTTP in JSON, below `/v1/traces`.',
    'none',
  ),
  OTEL_TRACES_EXPORTER: setting(
    z.enum(['otlp', 'none']),
    (text) => (text('OTEL_EXPORTER_OTLP_ENDPOINT') === '' ? 'none' : 'otlp'),
    'Whether there are traces; `otlp` without an endpoint sends them to `http://127.0.0.1:4318`.',
    '`otlp` where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, else `none`',
  ),
  OTEL_TRACES_SAMPLER: setting(
    z.enum([
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ]),
    'parentbased_always_on',
    'Which traces are recorded; the `parentbased_` ones do as the caller does that sent a `traceparent`.',
  ),
  OTEL_TRACES_SAMPLER_ARG: setting(
    share,
    '1',
    'Share of the traces that the `traceidratio` samplers record, from 0 to 1.',
  ),
  MODEL_PACK_DIR: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'model-pack'),
    'Folder of the model pack: its manifest and files, checked by hash at start.',
    '`DATA_DIR/model-pack`',
  ),
  NEXT_MODEL_PACK_DIR: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'next-model-pack'),
    'Folder of the model pack of the gallery that is built beside the running one. The query service loads what is put there, and lets go of what is taken away, without a restart.',
    '`DATA_DIR/next-model-pack`',
  ),
  INFERENCE_CONCURRENCY: setting(
    count(1, 64),
    () => String(availableParallelism()),
    'Processes of the face pipeline, about 200 MB each; each works on one image while it decodes the next.',
    'the number of cores',
  ),
  IMAGE_STORE_DIR: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'images'),
    'Folder of the encrypted custody images and open retrospective probes, where no bucket is named.',
    '`DATA_DIR/images`',
  ),
  IMAGE_STORE_S3_BUCKET: setting(
    z.string(),
    '',
    'Bucket of the encrypted images, in production: it keeps no versions, and locks nothing. Credentials: the AWS SDK’s own variables, such as AWS_SHARED_CREDENTIALS_FILE.',
    'none',
  ),
  IMAGE_STORE_S3_ENDPOINT: setting(
    z.union([z.literal(''), z.url({ protocol: /^https?$/ })]),
    '',
    'URL of the S3-compatible store that has the bucket; when it is absent, Amazon’s.',
    'none',
  ),
  IMAGE_STORE_S3_REGION: setting(z.string(), 'us-east-1', 'Region of the bucket, as requests to it are signed.'),
  IMAGE_STORE_KEY_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'keys', 'image-store.key'),
    'File with the 32-byte key, base64, that wraps each image’s own key; on further lines those before it, which open still.',
    '`DATA_DIR/keys/image-store.key`',
  ),
  SHARDS: setting(
    count(1, TEMPLATE_PARTITIONS).refine((shards) => TEMPLATE_PARTITIONS % shards === 0, '24 must be divisible by it'),
    '1',
    'Shards that the gallery is split into (S). 24 must be divisible by it.',
  ),
  SHARD: setting(
    count(0, 23),
    '0',
    'Which shard this index process holds: template partitions p with p mod S = SHARD.',
  ),
  REPLICAS: setting(
    count(1, 8),
    '1',
    'Index processes that `npm start` runs for each shard. In production each replica is a pod of its own.',
  ),
  WORKERS: setting(count(1, 24), '1', 'Worker threads that an index process splits its partitions over.'),
  REPLICA_ID: setting(
    z.string().regex(/^[\w.-]{1,64}$/),
    () => `${hostNameInId()}-${process.pid}`,
    'Name of this process in replies, reports and logs. That of an index process must stay the same when it is started again.',
    'host name and process id; of an index process host name, shard and a hash of `SNAPSHOT_DIR`',
  ),
  SNAPSHOT_DIR: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'snapshots', `shard-${text('SHARD')}-of-${text('SHARDS')}`),
    'Folder of the snapshots of one index process alone: what it did not write itself is removed.',
    '`DATA_DIR/snapshots/shard-<SHARD>-of-<SHARDS>`',
  ),
  SNAPSHOT_INTERVAL_SECONDS: setting(count(1, 86_400), '300', 'Seconds between snapshots while templates change.'),
  REPLICA_REPORT_SECONDS: setting(
    count(1, 60),
    '5',
    'Seconds between the reports of an index process on what it holds and what it has destroyed.',
  ),
  AUTO_EXACT_MAX_TEMPLATES: setting(
    count(0, 100_000_000),
    '100000',
    'Templates a worker up to which `auto` searches exactly; above it, approximately. `npm run bench -- engines` says what to set.',
  ),
  RECALL_SAMPLE_SHARE: setting(
    share,
    '0.01',
    'Share of the approximate searches that are done again exactly, from 0 to 1, to measure what the graph finds.',
  ),
  OPERATOR_SEARCH_MODE: setting(
    z.enum(['auto', 'exact', 'approximate']),
    'auto',
    'Engine for operator-initiated searches. Retrospective searches are always exact.',
  ),
  OPERATOR_SEARCH_DEADLINE_MS: setting(
    count(100, 60_000),
    '3000',
    'How long an operator-initiated search waits for the shards; then the answer says what is missing.',
  ),
  RETROSPECTIVE_SEARCH_DEADLINE_MS: setting(
    count(100, 600_000),
    '10000',
    'The same for a retrospective search; then its state is PARTIAL.',
  ),
  THRESHOLDS_FILE: setting(
    z.string(),
    'deploy/thresholds.json',
    'The threshold profiles to begin with. Once they are in the log, two people change them, and no file does.',
  ),
  ERASURE_BULK_MIN: setting(
    count(1, 1_000),
    '10',
    'Images of one person that one person may erase; more than these, or images of several people, take two. As many as a person’s stays in custody make.',
  ),
  ERASURE_DESTRUCTION_SECONDS: setting(
    count(1, 31_536_000),
    // What compaction takes, see desiredTopics.
    (text) => (text('TOPIC_PROFILE') === 'production' ? '172800' : '60'),
    'Within so many seconds what is erased is destroyed in every store; an erasure that takes longer is late, and alarmed.',
    '60; 172800 (two days) with `TOPIC_PROFILE=production`',
  ),
  PEER_REVIEW: setting(
    z.enum(['on', 'off']),
    'off',
    'Whether a second operator reviews a possible match before the investigating officer does. Fixed for a search when it is received.',
  ),
  DEPLOYMENT: setting(
    z.enum(['local', 'production']),
    // Whoever forgets to set it where others are served is refused, and not let off.
    (text) => (isLoopback(text('HOST')) ? 'local' : 'production'),
    'In `production` no search runs with a model that was not evaluated for the size of the gallery, unless two people have overridden that.',
    '`local` where `HOST` is this machine, else `production`',
  ),
  RATE_LIMIT: setting(
    count(1, 100_000),
    '60',
    'Searches that a person may ask for in any minute, of each replica. Over Kafka: in a minute of the log.',
  ),
  SERVICE_RATE_LIMIT: setting(
    count(1, 1_000_000),
    '600',
    'Retrospective requests that a system may put on Kafka in a minute of the log, of each replica.',
  ),
  CONCURRENCY_LIMIT: setting(
    count(1, 1_000),
    '4',
    'Searches that a person may have running at a time, of each replica.',
  ),
  AUTH_ISSUER: setting(
    z.string(),
    'custody-face-search-local',
    'The identity provider whose bearer tokens are accepted (`iss`).',
  ),
  AUTH_AUDIENCE: setting(z.string(), 'custody-face-search', 'What the tokens must be made out to (`aud`).'),
  AUTH_JWKS: setting(
    z.string(),
    (text) => localIssuerFile(text('DATA_DIR')),
    'The issuer’s public keys: an https URL, or a file.',
    '`DATA_DIR/keys/issuer.jwks.json`',
  ),
  ASSERTION_JWKS: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'keys', 'systems.jwks.json'),
    'Public keys of the systems that sign assertions: an https URL, or a file; each key’s `kid` is the system’s name, and its `purposes`, where it has them, are all that it is good for: `retrospective-search`, `erasure`.',
    '`DATA_DIR/keys/systems.jwks.json`',
  ),
  ASSERTION_KEY_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'keys', 'custody-query.jwk.json'),
    'This service’s own private key for assertions (JWK).',
    '`DATA_DIR/keys/custody-query.jwk.json`',
  ),
  VIEW_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'query', 'searches.sqlite'),
    'The query service’s view of the searches; disposable, rebuilt from the log.',
    '`DATA_DIR/query/searches.sqlite`',
  ),
  AUDIT_VIEW_FILE: setting(
    z.string(),
    (text) => join(dirname(text('VIEW_FILE')), 'audit.sqlite'),
    'The query service’s view of the audit; disposable, rebuilt from the log.',
    'beside `VIEW_FILE`: `audit.sqlite`',
  ),
  AUDIT_SEAL_KEY_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'keys', 'audit-seal.key'),
    'The signer key that seals the audit log, which those who run Kafka must not hold; `off` on a replica that never seals.',
    '`DATA_DIR/keys/audit-seal.key`',
  ),
  AUDIT_SEAL_VERIFIER_KEYS_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'keys', 'audit-seal.vkey'),
    'The verifier keys of the seals, one a line: the one in use and those before it.',
    '`DATA_DIR/keys/audit-seal.vkey`',
  ),
  AUDIT_CHECKPOINT_DIR: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'audit-checkpoints'),
    'Folder of the append-only copy of the seals; in production on storage that those who run Kafka cannot rewrite.',
    '`DATA_DIR/audit-checkpoints`',
  ),
  AUDIT_RETENTION_DAYS: setting(
    count(0, 36_525),
    '2557',
    'For so many days an audit entry cannot be destroyed (2557 = 7 years); its leaf and proof stay for ever.',
  ),
  REGISTER_FILE: setting(
    z.string(),
    (text) => join(text('DATA_DIR'), 'query', 'register.sqlite'),
    'The query service’s register of the images held; disposable, rebuilt from the log.',
    '`DATA_DIR/query/register.sqlite`',
  ),
  RETENTION_POLICY_FILE: setting(
    z.string(),
    'deploy/retention-policy.json',
    'The versioned policy that sets when it is reviewed whether a custody image is kept. It deletes nothing before its `effectiveFrom`.',
  ),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;
export type Settings = Values<typeof SETTINGS>;

/**
 * The name of an index process, where none is given: the same after a restart, because what it has destroyed is known by
 * it. Host and snapshot folder tell replicas apart, as no two share a folder; a StatefulSet's host name is its pod's.
 */
export function indexReplicaId(settings: Settings, environment: NodeJS.ProcessEnv = process.env): string {
  const own: SettingName = 'REPLICA_ID';
  if ((environment[own] ?? '') !== '') return settings[own];
  const folder = createHash('sha256').update(resolve(settings.SNAPSHOT_DIR)).digest('hex').slice(0, 8);
  return `${hostNameInId()}-shard-${settings.SHARD}-of-${settings.SHARDS}-${folder}`;
}

function hostNameInId(): string {
  return hostname()
    .slice(0, 32)
    .replace(/[^\w.-]/g, '-');
}

/**
 * @throws Failure BAD_SETTING naming the variable, what it holds and what it may hold; LOCAL_ISSUER_NOT_LOOPBACK when
 *   others than this machine would be served by tokens of the local issuer, whose private key lies beside the data
 */
export function readSettings(environment: NodeJS.ProcessEnv = process.env): Settings {
  const text = (name: string): string => {
    const given = environment[name];
    if (given !== undefined && given !== '') return given;
    const { preset } = SETTINGS[name as SettingName];
    return typeof preset === 'string' ? preset : preset(text);
  };
  const settings: Record<string, unknown> = {};
  for (const [name, { schema }] of Object.entries(SETTINGS)) {
    const result = (schema as z.ZodType<unknown>).safeParse(text(name));
    if (!result.success) {
      throw new Failure(
        'BAD_SETTING',
        `${name}=${text(name)}: ${result.error.issues[0]?.message ?? 'not allowed'}`,
        false,
      );
    }
    settings[name] = result.data;
  }
  refuseLocalIssuerOffLoopback(settings as Settings, text('DATA_DIR'));
  kafkaConnection(settings as Settings);
  return settings as Settings;
}

function refuseLocalIssuerOffLoopback({ HOST, AUTH_JWKS, AUTH_ISSUER }: Settings, dataFolder: string): void {
  // By its name too: a copy of its keys at another place would let in whoever has the key beside the data.
  const isLocalIssuer =
    AUTH_ISSUER === SETTINGS.AUTH_ISSUER.preset || resolve(AUTH_JWKS) === resolve(localIssuerFile(dataFolder));
  if (!isLocalIssuer || isLoopback(HOST)) return;
  throw new Failure(
    'LOCAL_ISSUER_NOT_LOOPBACK',
    `HOST=${HOST} serves others than this machine, and the local issuer is for this machine only: set AUTH_JWKS and AUTH_ISSUER to your identity provider's, or HOST to 127.0.0.1.`,
    false,
  );
}

/** By the text: a name other than localhost may resolve to anything later. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
