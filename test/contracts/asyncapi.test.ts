/** docs/asyncapi.yaml as the official parser reads it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Parser } from '@asyncapi/parser';
import { beforeAll, describe, expect, test } from 'vitest';
import { asyncApiDocument } from '#contracts/asyncapi.js';
import { MESSAGE_REGISTRY } from '#contracts/message-registry.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';

type Parsed = Awaited<ReturnType<Parser['parse']>>;

const text = readFileSync(join(PROJECT_FOLDER, 'docs', 'asyncapi.yaml'), 'utf8');
const { version } = JSON.parse(readFileSync(join(PROJECT_FOLDER, 'package.json'), 'utf8')) as { version: string };

/** Of a diagnostic, as the Language Server Protocol numbers them. */
const ERROR = 0;
const WARNING = 1;
/** The parser takes seconds for a document of this size. */
const TIMEOUT_MS = 60_000;

describe('docs/asyncapi.yaml', { timeout: TIMEOUT_MS }, () => {
  let parsed: Parsed;

  beforeAll(async () => {
    parsed = await new Parser().parse(text);
  }, TIMEOUT_MS);

  test('has nothing that the official parser finds wrong', () => {
    const wrong = parsed.diagnostics.filter(({ severity }) => Number(severity) <= WARNING);
    expect(wrong.map(({ message, path }) => `${path.join('.')}: ${message}`)).toEqual([]);
    expect(parsed.document).toBeDefined();
  });

  test('is the document of the registry: nothing is lost in YAML', async () => {
    const fromJson = await new Parser().parse(JSON.stringify(asyncApiDocument(version)));
    expect(parsed.document!.json()).toEqual(fromJson.document!.json());
  });

  test('has a channel for every topic, with all its messages, and somebody here who sends or receives each', () => {
    const channels = parsed.document!.channels().all();
    expect(channels.map((channel) => channel.address())).toEqual(MESSAGE_REGISTRY.map(({ topic }) => topic));
    for (const [i, channel] of channels.entries()) {
      const types = MESSAGE_REGISTRY[i]!.messages.map(({ type }) => type);
      expect(
        channel
          .messages()
          .all()
          .map((message) => message.name()),
      ).toEqual(types);
      expect(channel.operations().all().length).toBeGreaterThan(0);
    }
  });

  test('would fail with a reference that leads nowhere', async () => {
    const { info } = asyncApiDocument(version);
    const messages = { lost: { $ref: '#/components/messages/lost' } };
    const broken = { asyncapi: '3.0.0', info, channels: { lost: { address: 'lost', messages } } };
    const { diagnostics } = await new Parser().parse(JSON.stringify(broken));
    expect(diagnostics.some(({ severity }) => Number(severity) === ERROR)).toBe(true);
  });
});
