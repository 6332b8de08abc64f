/**
 * The examples that other systems copy, against the real services: Java's official client and librdkafka with the
 * CloudEvents SDKs, in both directions. And every record that the services have written meanwhile, against the published
 * schemas.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MESSAGE_REGISTRY, topicName } from '#contracts/message-registry.js';
import { partitionFor } from '#contracts/murmur2.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { missingForPython } from '#testkit/python-environment.js';
import { RunningSystem } from '#testkit/running-system.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { misfits } from '../contracts/published-schemas.js';
import { javaExamples, missingForJava, pythonExamples, type Example, type ExampleRun } from './example-programs.js';

const why = missingForJava() ?? missingForPython();
if (why !== undefined) process.stderr.write(`The examples are not run: ${why}.\n`);

describe.skipIf(why !== undefined)('the examples', () => {
  let system: RunningSystem;
  let sample: SamplePhotographs;
  let mate: SampleFace;
  let folder: string;
  let photograph: string;
  let probe: string;
  let key: string;
  let java: (name: string) => Example;
  let python: (name: string) => Example;

  beforeAll(async () => {
    [sample, java, python] = await Promise.all([samplePhotographsForTests(), javaExamples(), pythonExamples()]);
    system = await RunningSystem.start(await RunningSystem.environment());
    key = join(system.settings.DATA_DIR, 'keys', 'custody-suite.jwk.json');
    folder = await mkdtemp(join(tmpdir(), 'custody-examples-'));
    [photograph, probe] = [join(folder, 'photograph.jpg'), join(folder, 'probe.jpg')];
    const face = sample.manifest.probe;
    mate = sample.manifest.enrolled.find(({ subjectId }) => subjectId === face.subjectId)!;
    await writeFile(photograph, await faceImage(sample, mate));
    await writeFile(probe, await faceImage(sample, face));
  });

  afterAll(async () => {
    await system?.stopAndForget();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const brokers = (): string => system.settings.KAFKA_BROKERS.join(',');
  const only = (run: ExampleRun): Record<string, unknown> => {
    expect(run.printed, run.output).toHaveLength(1);
    return run.printed[0]!;
  };

  test('Java enrols a photograph, and is told its outcome', async () => {
    const run = await java('Enrol')(brokers(), photograph, 'java-1', 'person-java');
    expect(only(run)).toMatchObject({ outcome: 'enrolled', imageId: 'java-1' });
    expect(run.code).toBe(0);
  });

  test('Java asks for a retrospective search, and is told its candidates', async () => {
    const { code, printed, output } = await java('Search')(brokers(), probe, 'op-4711', key);
    expect(code, output).toBe(0);
    expect(printed.map(({ type }) => type)).toEqual(['RECEIVED', 'SEARCH_STARTED', 'CANDIDATES_FOUND']);
    expect(printed[0]).toMatchObject({ operator: 'op-4711', request: { crimeReference: 'CR/2026/0815' } });
    const { candidates } = printed.at(-1)!['answer'] as { candidates: { imageId: string }[] };
    const found = candidates.slice(0, 2).map(({ imageId }) => imageId);
    expect(found.sort()).toEqual([mate.imageId, 'java-1'].sort());
  });

  test('Java is told why a search is refused: its key is no system’s', async () => {
    const stranger = join(system.settings.DATA_DIR, 'keys', 'issuer.jwk.json');
    const { code, printed } = await java('Search')(brokers(), probe, 'op-4711', stranger);
    expect(printed).toMatchObject([{ type: 'REQUEST_REFUSED', code: 'ASSERTION_INVALID' }]);
    expect(code).toBe(1);
  });

  test('Python enrols with the partitioner murmur2_random', async () => {
    const run = await enrolByPython('python-1');
    expect(only(run)).toMatchObject({ outcome: 'enrolled', imageId: 'python-1' });
    expect(run.code).toBe(0);
  });

  test('Python is refused with librdkafka’s default partitioner', async () => {
    const id = Array.from({ length: 100 }, (_, i) => `crc-${i}`).find(isElsewhereByCrc32)!;
    const run = await enrolByPython(id, '--partitioner', 'consistent_random');
    expect(only(run)).toMatchObject({ outcome: 'refused', code: 'WRONG_PARTITION', imageId: id });
    expect(run.code).toBe(1);
  });

  test('Python has an image erased by an assertion, and not by somebody else’s', async () => {
    const options = ['--authority', 'DPA 2018 s.47', '--reason', 'The request was upheld', '--on-behalf-of', 'dpo-1'];
    const erase = (keyFile: string): Promise<ExampleRun> =>
      python('erase')(brokers(), '--image-id', 'python-1', ...options, '--key', keyFile);
    const stranger = await erase(join(system.settings.DATA_DIR, 'keys', 'issuer.jwk.json'));
    expect(only(stranger)).toMatchObject({ outcome: 'refused', code: 'ERASURE_NOT_AUTHORISED' });
    const run = await erase(key);
    expect(only(run)).toMatchObject({ outcome: 'erased', authority: 'DPA 2018 s.47' });
    expect(run.code).toBe(0);
  });

  test('every record that the services and the examples have written is as it is published', async () => {
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const { modelId } = await modelPackForTests();
    const seen = new Set<string>();
    try {
      for (const topic of MESSAGE_REGISTRY) {
        for (const record of await readTopic(kafka, topicName(topic, modelId))) {
          expect(misfits(topic, record), `${topic.topic} ${JSON.stringify(record.headers)}`).toEqual([]);
          seen.add(record.headers['ce_type'] ?? topic.topic);
        }
      }
    } finally {
      await kafka.close();
    }
    const types = ['custody.image.v1', 'custody.erasure.v1', 'custody.outcome.v1', 'custody.disposition.v1'];
    const others = [
      'gallery.template.v1',
      'gallery.replica.v1',
      'searches.request.v1',
      'audit.entry.v1',
      'audit.log.v1',
    ];
    expect([...seen]).toEqual(expect.arrayContaining([...types, ...others]));
  });

  function enrolByPython(id: string, ...more: string[]): Promise<ExampleRun> {
    return python('enrol')(brokers(), photograph, '--image-id', id, '--subject-id', 'person-python', ...more);
  }
});

/** Whether librdkafka's `consistent` puts the key on another partition than murmur2 does. */
function isElsewhereByCrc32(key: string): boolean {
  return crc32(key) % TEMPLATE_PARTITIONS !== partitionFor(key, TEMPLATE_PARTITIONS);
}
