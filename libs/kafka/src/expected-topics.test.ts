import { describe, expect, it } from 'vitest';
import {
  CUSTODY_IMAGES,
  desiredTopics,
  SEARCHES_COMMANDS,
  SEARCHES_REQUESTS,
  TIMESTAMP_TYPE,
} from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import type { ModelId } from '#domain/ids.js';
import { expectTopics } from './expected-topics.js';
import type { KafkaLog } from './kafka-record.js';
import { differencesOf, type FoundTopic } from './topic-differences.js';

const desired = desiredTopics({ modelId: '0123456789abcdef' as ModelId, profile: 'local', replication: 1 });

/** As they are wanted, but for one setting of one topic. */
function brokerWith(topic: string, setting: string, value: string | undefined): ReadonlyMap<string, FoundTopic> {
  return new Map(
    desired.map(({ name, partitions, replication, config }) => {
      const settings = new Map(Object.entries(config).map(([key, of]) => [key, { value: of, own: true }]));
      if (name === topic && value === undefined) settings.delete(setting);
      else if (name === topic) settings.set(setting, { value: value!, own: true });
      return [name, { partitions, replication, settings }];
    }),
  );
}

async function startedOn(found: ReadonlyMap<string, FoundTopic>): Promise<{ code?: string; said: object[] }> {
  const said: object[] = [];
  const nothing = (): void => undefined;
  const log: KafkaLog = { debug: nothing, info: nothing, error: nothing, warn: (_, fields) => void said.push(fields) };
  const differing = differencesOf(desired, found);
  const checkTopics = () =>
    Promise.resolve({ created: [], altered: [], unchanged: [], leftAlone: [], differing: [...differing] });
  const code = await codeOfAsync(() => expectTopics({ checkTopics }, desired, log));
  return { ...(code !== undefined && { code }), said };
}

describe('the topics that a service starts on', () => {
  it.each([CUSTODY_IMAGES, SEARCHES_REQUESTS])(
    'end it where those who write %s say when they wrote: an old assertion would be good for ever',
    async (topic) => {
      for (const value of ['CreateTime', undefined]) {
        expect(await startedOn(brokerWith(topic, TIMESTAMP_TYPE, value))).toEqual({ code: 'TOPIC_DIFFERS', said: [] });
      }
    },
  );

  it('are used, and it is said, where another setting differs, or another topic’s time', async () => {
    for (const [topic, setting, value] of [
      [CUSTODY_IMAGES, 'retention.ms', '1'],
      [SEARCHES_COMMANDS, TIMESTAMP_TYPE, 'CreateTime'],
    ] as const) {
      const { code, said } = await startedOn(brokerWith(topic, setting, value));
      expect(code).toBeUndefined();
      expect(said).toMatchObject([{ topic, setting, found: value }]);
    }
  });

  it('end it where one has another number of partitions', async () => {
    const found = new Map(brokerWith(CUSTODY_IMAGES, 'x', 'y'));
    found.set(CUSTODY_IMAGES, { ...found.get(CUSTODY_IMAGES)!, partitions: 25 });
    expect(await startedOn(found)).toEqual({ code: 'TOPIC_DIFFERS', said: [] });
  });
});
