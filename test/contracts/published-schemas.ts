/** Records against the files in docs/schemas, as somebody outside would check them: by ajv, and by nothing of ours. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { TopicMessages } from '#contracts/message.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
const compiled = new Map<string, ValidateFunction | undefined>();

export interface SomeRecord {
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer | null;
}

/** What of the record is not as its message is published. Empty for one that fits. */
export function misfits(topic: TopicMessages, record: SomeRecord): readonly string[] {
  const type = record.headers['ce_type'];
  const message =
    type === undefined ? topic.messages.find((one) => !('ce_type' in one.headers.shape)) : byType(topic, type);
  if (message === undefined) return [`${type ?? 'a record without a type'} is no message of ${topic.topic}`];
  const { value } = record;
  const wrong = problems(`${message.type}.headers`, record.headers);
  const mayBeNull = message.value.kind === 'none' || message.nullMeans !== undefined;
  if (value === null) return mayBeNull ? wrong : [...wrong, 'its value is null'];
  switch (message.value.kind) {
    case 'none':
      return [...wrong, 'its value is not null'];
    case 'bytes':
      return value.length <= message.value.sizeBytesMax ? wrong : [...wrong, `it has ${value.length} bytes`];
    case 'json':
      return [...wrong, ...problems(`${message.type}.value`, JSON.parse(value.toString('utf8')))];
  }
}

/** What the published schema of this name finds wrong. */
export function problems(name: string, value: unknown): string[] {
  const validate = schema(name);
  if (validate === undefined) return [`there is no schema ${name}`];
  validate(value);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${name}${instancePath} ${message}`);
}

function schema(name: string): ValidateFunction | undefined {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  const file = join(PROJECT_FOLDER, 'docs', 'schemas', `${name}.json`);
  const validate = existsSync(file) ? ajv.compile(JSON.parse(readFileSync(file, 'utf8')) as object) : undefined;
  compiled.set(name, validate);
  return validate;
}

function byType(topic: TopicMessages, type: string): TopicMessages['messages'][number] | undefined {
  return topic.messages.find((one) => one.type === type);
}
