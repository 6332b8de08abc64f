/** Galleries as they are taken over: from a CSV and from a topic, killed in the middle, and compared with their source. */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { custodyImageHeaders } from '#contracts/custody-image.js';
import { parseImageExportLine } from '#contracts/image-export.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import type { ImageId, Offset, SubjectId } from '#domain/ids.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { readTopic } from '#testkit/topic-for-tests.js';

const IMAGES = 500;
/** Of the sample's faces, which are alone in their part of the photograph and good enough. */
const FIRST_FACE = 4;
const FACES = 4;
/** How many records an enrolment has without their outcome: then it waits. */
const IN_FLIGHT = 256;
const SOURCE_TOPIC = 'photographs.v1';
const SOURCE_PARTITIONS = 5;
/** Any time in which the acknowledgements of what is in the log have arrived. */
const ACKNOWLEDGED_MS = 1_000;

describe('a gallery in bulk', () => {
  let system: RunningSystem;
  let kafka: KafkaClient;
  let home: string;
  let csv: string;
  let faces: readonly Buffer[];
  const text = Buffer.from('This is not a photograph, whatever its name says.');

  beforeAll(async () => {
    const sample = await samplePhotographsForTests();
    [faces, system] = await Promise.all([
      Promise.all(
        sample.manifest.enrolled.slice(FIRST_FACE, FIRST_FACE + FACES).map((face) => faceImage(sample, face)),
      ),
      RunningSystem.start(await RunningSystem.environment({ SAMPLE_GALLERY: 'off' })),
    ]);
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    home = system.environment['DATA_DIR']!;
    csv = join(home, 'photographs.csv');
    await writeFile(join(home, 'text.jpg'), text);
    await Promise.all(faces.map((bytes, i) => writeFile(join(home, `face-${i}.jpg`), bytes)));
  });

  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
  });

  const recordsIn = async (topic: string): Promise<number> =>
    [...(await kafka.topicAdmin().topicOffsets(topic)).values()].reduce((sum, { high }) => sum + high, 0);

  /** How many records of each of these images there are. */
  async function sentOf(prefix: string): Promise<ReadonlyMap<string, number>> {
    const sent = new Map<string, number>();
    for (const { key } of await readTopic(kafka, CUSTODY_IMAGES)) {
      const id = String(key);
      if (id.startsWith(prefix)) sent.set(id, (sent.get(id) ?? 0) + 1);
    }
    return sent;
  }

  /** Begins it while ingest stands still, and kills it when it waits for outcomes. */
  async function killInTheMiddle(...args: string[]): Promise<void> {
    const before = await recordsIn(CUSTODY_IMAGES);
    const ingest = system.pidOf('ingest');
    process.kill(ingest, 'SIGSTOP');
    try {
      const enrolment = system.startCustody('enrol', ...args);
      await eventually(async () => expect((await recordsIn(CUSTODY_IMAGES)) - before).toBe(IN_FLIGHT));
      await new Promise((resolve) => setTimeout(resolve, ACKNOWLEDGED_MS));
      const ended = once(enrolment, 'exit');
      enrolment.kill('SIGKILL');
      await ended;
    } finally {
      process.kill(ingest, 'SIGCONT');
    }
  }

  const count = (stdout: string, what: string): number =>
    Number(new RegExp(`^${what} +(\\d+)`, 'm').exec(stdout)?.[1] ?? 0);

  test('from a CSV goes on after kill -9 where it was, and sends nothing twice', async () => {
    const rows = Array.from({ length: IMAGES }, (_, i) => {
      const file = i % 40 === 7 ? `face-${Math.floor(i / 40) % FACES}.jpg` : 'text.jpg';
      return `csv-${i},person-${i},${i === 100 ? 'none.jpg' : file}`;
    });
    await writeFile(csv, `imageId,subjectId,file\n${rows.join('\n')}\n`);
    await killInTheMiddle(csv, '--face', 'central');
    const resumed = await system.custody('enrol', csv, '--face', 'central');
    expect(resumed.stderr).toContain('IMAGES_FAILED');
    expect(count(resumed.stdout, 'sent')).toBeLessThanOrEqual(IMAGES - IN_FLIGHT);
    expect(count(resumed.stdout, 'enrolled')).toBe(13);
    expect(count(resumed.stdout, 'refused')).toBe(IMAGES - 13 - 1);
    expect(resumed.stdout).toMatch(/^failed +1 FILE_UNREADABLE$/m);
    const sent = await sentOf('csv-');
    expect(sent.size).toBe(IMAGES - 1);
    expect([...sent.values()].every((records) => records === 1)).toBe(true);
    // The file that could not be read is put right: nothing else is sent again.
    await writeFile(join(home, 'none.jpg'), text);
    const again = await system.custody('enrol', csv, '--face', 'central');
    expect(again.code).toBe(0);
    expect(count(again.stdout, 'sent')).toBe(1);
    const rejects = /^what was not enrolled, and why: (.*)$/m.exec(again.stdout)![1]!;
    const rejected = (await readFile(rejects, 'utf8')).trimEnd().split('\r\n').slice(1);
    expect(rejected).toHaveLength(IMAGES - 13);
    expect(rejected).toContainEqual(
      expect.stringMatching(/^csv-100,line 102: none\.jpg,refused,IMAGE_FORMAT_UNSUPPORTED,/),
    );
  });

  test('from another system’s topic does the same, keyed as it must be here, and names what it cannot take', async () => {
    await kafka
      .topicAdmin()
      .applyTopics([{ name: SOURCE_TOPIC, partitions: SOURCE_PARTITIONS, replication: 1, config: {} }]);
    const publisher = kafka.publisher();
    const record = (
      id: string,
      i: number,
      value: Buffer | null,
      more: Partial<OutgoingRecord> = {},
    ): OutgoingRecord => ({
      topic: SOURCE_TOPIC,
      key: id,
      value,
      headers: custodyImageHeaders(
        { imageId: id as ImageId, subjectId: `person-${i}` as SubjectId, face: 'central' },
        '/another-suite',
        'image/jpeg',
      ),
      ...more,
    });
    const images = Array.from({ length: IMAGES }, (_, i) => {
      const bytes = i % 40 === 7 ? faces[Math.floor(i / 40) % FACES]! : text;
      return record(`topic-${i}`, i, bytes);
    });
    const positions = await publisher.publishAll(images);
    const corrected = {
      imageId: 'topic-c' as ImageId,
      subjectId: 'person-c' as SubjectId,
      face: 'central',
      correctionOf: 3 as Offset,
    } as const;
    const elsewhere = (positions[0]!.partition + 1) % SOURCE_PARTITIONS;
    const ownHeaders = custodyImageHeaders(corrected, '/another-suite', 'image/jpeg');
    await publisher.publishAll([
      record('topic-c', 0, faces[0]!, { headers: ownHeaders }),
      record('topic-0', 0, text, { partition: elsewhere }),
      record('not an id', 0, text),
      record('topic-n', 0, text, { key: null, partition: 0 }),
      record('topic-h', 0, text, { headers: { ce_type: 'custody.image.v1' } }),
      record('topic-e', 0, null),
    ]);
    await killInTheMiddle('--topic', SOURCE_TOPIC);
    const resumed = await system.custody('enrol', '--topic', SOURCE_TOPIC);
    expect(resumed.code).toBe(0);
    expect(count(resumed.stdout, 'enrolled')).toBe(14);
    const refused = new Map(
      [...resumed.stdout.matchAll(/^refused +(\d+) (\w+)$/gm)].map(([, n, code]) => [code, Number(n)]),
    );
    expect(refused).toEqual(
      new Map([
        ['IMAGE_FORMAT_UNSUPPORTED', IMAGES - 13],
        ['WRONG_PARTITION', 1],
        ['BAD_IMAGE_ID', 1],
        ['KEY_MISSING', 1],
        ['HEADER_MISSING', 1],
        ['ERASURE_NOT_AUTHORISED', 1],
      ]),
    );
    const sent = await sentOf('topic-');
    expect(sent.size).toBe(IMAGES + 2);
    expect([...sent.values()].every((records) => records === 1)).toBe(true);
    const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
    expect(
      outcomes.some((one) => 'code' in one && one.imageId.startsWith('topic-') && one.code === 'WRONG_PARTITION'),
    ).toBe(false);
    const rejects = await readFile(/^what was not enrolled, and why: (.*)$/m.exec(resumed.stdout)![1]!, 'utf8');
    expect(rejects).toContain(`topic-0,${SOURCE_TOPIC}/${elsewhere}/`);
    const again = await system.custody('enrol', '--topic', SOURCE_TOPIC);
    expect([again.code, count(again.stdout, 'sent')]).toEqual([0, 0]);
    const onItself = await system.custody('enrol', '--topic', CUSTODY_IMAGES);
    expect([onItself.code, onItself.stderr]).toEqual([1, expect.stringContaining('SOURCE_IS_TARGET')]);
  });

  test('is compared with what the custody system holds, and the exit code says whether they differ', async () => {
    const list = join(home, 'custody.csv');
    const out = join(home, 'reconciled');
    const held = (await exportedTo(join(home, 'export.jsonl'))).filter(({ state }) => state === 'enrolled');
    expect(held).toHaveLength(27);
    const rows = held.map(({ imageId, subjectId }) => [imageId, subjectId]);
    await writeFile(list, ['imageId,subjectId', ...rows.map((row) => row.join(','))].join('\n'));
    const alike = await system.custody('reconcile', list, '--out', out);
    expect([alike.code, alike.stderr]).toEqual([0, '']);
    expect(alike.stdout).toMatch(/^in both +27 alike/m);

    rows[0]![1] = 'somebody-else';
    const [missing] = rows.splice(1, 1);
    const differing = [...rows, ['csv-0', 'person-0'], ['never-sent', 'person-x']];
    await writeFile(list, ['imageId,subjectId', ...differing.map((row) => row.join(','))].join('\n'));
    const result = await system.custody('reconcile', list, '--out', out);
    expect([result.code, result.stderr]).toEqual([2, '']);
    expect(JSON.parse(await readFile(join(out, 'summary.json'), 'utf8'))).toMatchObject({
      inCustody: 28,
      here: { enrolled: 27 },
      alike: 25,
      differing: 1,
      notInCustody: 1,
      missingHere: { 'refused IMAGE_FORMAT_UNSUPPORTED': 1, 'never-received': 1 },
      imagesWaiting: 0,
    });
    expect(await readFile(join(out, 'not-in-custody.csv'), 'utf8')).toContain(`${missing![0]},${missing![1]},`);
    expect(await readFile(join(out, 'missing-here.csv'), 'utf8')).toContain('never-sent,person-x,never-received,,');
    expect(await readFile(join(out, 'differing.csv'), 'utf8')).toContain(`${rows[0]![0]},subjectId,somebody-else,`);
    expect((await system.custody('reconcile', join(home, 'none.csv'), '--out', out)).code).toBe(1);
  });

  interface Exported {
    readonly imageId: string;
    readonly subjectId: string | undefined;
    readonly state: string;
  }

  async function exportedTo(file: string): Promise<readonly Exported[]> {
    expect((await system.custody('images', 'export', '--out', file)).code).toBe(0);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').map(parseImageExportLine);
    return lines.flatMap((line) => (line.kind === 'image' ? [{ ...line, subjectId: line.subjectId }] : []));
  }
});
