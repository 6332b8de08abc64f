/** The manifests against the definitions of Strimzi's own resources, made from its published model. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv, type ValidateFunction } from 'ajv';
import { beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_MODEL } from '#contracts/generated-files.js';
import { strimziTopics, strimziUsers, type StrimziResource } from '#contracts/strimzi-manifests.js';
import { cacheFolder } from '#platform/cache-folder.js';

const run = promisify(execFile);
const VERSION = '0.49.1';
const MODELS = {
  KafkaTopic: 'io.strimzi.api.kafka.model.topic.KafkaTopic',
  KafkaUser: 'io.strimzi.api.kafka.model.user.KafkaUser',
} as const;

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: unknown;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}
interface Definition {
  readonly spec: {
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** Made once, and kept beside the other things that are fetched. */
async function definitionFile(kind: keyof typeof MODELS): Promise<string> {
  const folder = join(cacheFolder(), `strimzi-${VERSION}`);
  const file = join(folder, `${kind}.json`);
  if (existsSync(file)) return file;
  await mkdir(folder, { recursive: true });
  await copyFile(join(import.meta.dirname, 'strimzi', 'pom.xml'), join(folder, 'pom.xml'));
  const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
  await run('mvn', ['-B', '-q', copy, '-DincludeScope=runtime', '-DoutputDirectory=jars'], { cwd: folder });
  const versions = [
    '--target-kube',
    '1.25+',
    '--crd-api-version',
    'v1',
    '--api-versions',
    'v1',
    '--storage-version',
    'v1',
  ];
  const generator = ['-cp', join(folder, 'jars', '*'), 'io.strimzi.crdgenerator.CrdGenerator', ...versions];
  await run('java', [...generator, `${MODELS[kind]}=${file}.new`]);
  await rename(`${file}.new`, file);
  return file;
}

/** Kubernetes drops what a definition does not name; here that is an error. */
function closed(schema: Schema): Schema {
  const { properties, items } = schema;
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties !== undefined;
  return {
    ...schema,
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, closed(part)])),
      ...(!open && { additionalProperties: false }),
    }),
    ...(items !== undefined && { items: closed(items) }),
  };
}

describe("Strimzi's definitions", () => {
  const validators = new Map<string, ValidateFunction>();

  beforeAll(async () => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    for (const kind of Object.keys(MODELS) as (keyof typeof MODELS)[]) {
      const definition = JSON.parse(await readFile(await definitionFile(kind), 'utf8')) as Definition;
      const { schema } = definition.spec.versions.find(({ name }) => name === 'v1')!;
      // What is known of the metadata of any resource is not repeated in a definition.
      const { metadata: _metadata, ...properties } = schema.openAPIV3Schema.properties!;
      const whole = closed({ ...schema.openAPIV3Schema, properties });
      whole.properties!['metadata'] = {};
      validators.set(kind, ajv.compile(whole));
    }
  });

  function errorsOf(resource: StrimziResource): unknown {
    const validate = validators.get(resource.kind)!;
    return validate(resource) ? undefined : validate.errors;
  }

  test('take every topic', () => {
    for (const topic of strimziTopics(DEFAULT_MODEL)) expect(errorsOf(topic), topic.metadata.name).toBeUndefined();
  });

  test('take every user', () => {
    for (const user of strimziUsers()) expect(errorsOf(user), user.metadata.name).toBeUndefined();
  });

  test('would not take another operation, another pattern, or a field that there is not', () => {
    const [user] = strimziUsers();
    const withAcl = (acl: object): StrimziResource => ({
      ...user!,
      spec: { authentication: { type: 'tls' }, authorization: { type: 'simple', acls: [acl] } },
    });
    const resource = { type: 'topic', name: 'a', patternType: 'literal' };
    expect(errorsOf(withAcl({ resource, operations: ['Read'] }))).toBeUndefined();
    expect(errorsOf(withAcl({ resource, operations: ['read'] }))).toBeDefined();
    expect(
      errorsOf(withAcl({ resource: { ...resource, patternType: 'prefixed' }, operations: ['Read'] })),
    ).toBeDefined();
    expect(errorsOf(withAcl({ resource, operations: ['Read'], group: 'a' }))).toBeDefined();
  });
});
