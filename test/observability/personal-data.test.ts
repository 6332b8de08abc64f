/**
 * What a system says of itself, at its most talkative, while everything is done with it that people, systems and mischance
 * do: nothing in it is about a person.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { custodyImageHeaders, erasureHeaders } from '#contracts/custody-image.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { searchRequestHeaders } from '#contracts/search-record.js';
import {
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  GALLERY_QUERIES,
  GALLERY_REPLIES,
  galleryTemplates,
  SEARCHES_COMMANDS,
  SEARCHES_REQUESTS,
} from '#contracts/topics.js';
import { imageId, subjectId, type SearchId } from '#domain/ids.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { filesHolding } from '#testkit/byte-search.js';
import { faceImage, imageWithoutFace } from '#testkit/face-images-for-tests.js';
import { answerOf, call, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { modelPackForTests, samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { OtlpReceiver } from '#testkit/otlp-receiver.js';
import { RunningSystem } from '#testkit/running-system.js';
import { saidAbout } from '#testkit/said-about.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { lastOfKey, readTopic } from '#testkit/topic-for-tests.js';

/** Each is used in what follows, and must not be found again. */
const PERSONAL = {
  'an image': 'CUST-IMG-771204-FRONT',
  'an image that is refused': 'CUST-IMG-771205-SIDE',
  'an image of another system': 'CUST-IMG-771206-KAFKA',
  'a subject': 'nominal-99413577',
  'a custody reference': 'WYP/2026/BRADFORD/00417',
  'a force’s own words': 'bradford-south-custody-suite',
  'an officer': 'pc.eleanor.vance.4471',
  'an operator': 'op.marguerite.hale.0932',
  'an investigating officer': 'ds.tobias.renfrew.1185',
  'a data protection officer': 'dpo.winifred.ashcombe',
  'a justification': 'Found unconscious beside the canal at Shipley wharf without papers',
  'a justification of a case': 'Man in a red anorak leaves the jewellers on Darley Street',
  'a justification over Kafka': 'Woman with a pram near the bank on Kirkgate at noon',
  'a crime reference': 'CR/13260/0077123',
  features: 'Crescent scar below the left ear and a chipped front tooth',
  corroboration: 'Fingerprint on the display case and a taxi receipt',
  'notes of an outcome': 'Taken to hospital where her sister recognised her',
  'a reason': 'Acquitted at Leeds Crown Court, application of the solicitor',
  'a device': 'handset-imei-356938035643809',
} as const;

const OUTAGE_MS = 6_000;

describe('the logs of a full run', () => {
  let system: RunningSystem;
  let receiver: OtlpReceiver;
  let kafka: KafkaClient;
  let sample: SamplePhotographs;
  let templates: string;
  let enrolled: Buffer;
  let probe: Buffer;
  let template: Buffer;
  let text: string;
  let logs: string;
  const tokens = new Map<string, string>();

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    const face = sample.manifest.enrolled.find(({ subjectId: id }) => id === sample.manifest.probe.subjectId)!;
    enrolled = await faceImage(sample, face, 2);
    probe = await faceImage(sample, sample.manifest.probe);
    templates = galleryTemplates((await modelPackForTests()).modelId);
    receiver = await OtlpReceiver.start();
    system = await RunningSystem.start(
      await RunningSystem.environment({
        LOG_LEVEL: 'debug',
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        RECALL_SAMPLE_SHARE: '1',
        RATE_LIMIT: '20',
      }),
    );
    kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    for (const [role, person] of [
      ['officer', PERSONAL['an officer']],
      ['operator', PERSONAL['an operator']],
      ['investigating-officer', PERSONAL['an investigating officer']],
      ['data-protection', PERSONAL['a data protection officer']],
      ['service', 'custody-suite-bradford'],
      ['auditor', 'auditor-of-the-day'],
    ] as const) {
      tokens.set(role, await system.token(role, person));
    }
    logs = await mkdtemp(join(tmpdir(), 'custody-logs-'));
  });
  afterAll(async () => {
    await kafka?.close();
    await system?.stopAndForget();
    await receiver?.close();
    if (logs !== undefined) await rm(logs, { recursive: true, force: true });
  });

  const ask = (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    role: string,
    path: string,
    body?: FormData | Uint8Array | object,
  ): Promise<HttpResult> => call(method, `${system.queryUrl}${path}`, tokens.get(role), body);

  const put = (id: string, image: Buffer, subject: string = PERSONAL['a subject']): Promise<HttpResult> => {
    const fields = new URLSearchParams({
      subjectId: subject,
      custodyReference: PERSONAL['a custody reference'],
      force: PERSONAL['a force’s own words'],
    });
    return call('PUT', `${system.ingestUrl}/v1/images/${id}?${fields.toString()}`, tokens.get('service'), image);
  };

  const outcomesOf = async (id: string): Promise<string[]> =>
    (await readTopic(kafka, CUSTODY_OUTCOMES))
      .map(({ value }) => parseOutcome(value))
      .filter((outcome) => outcome.imageId === id)
      .map((outcome) => ('code' in outcome ? outcome.code : outcome.outcome));

  const search = (image: Buffer = probe): Promise<HttpResult> =>
    ask(
      'POST',
      'officer',
      '/v1/searches/operator',
      operatorForm(image, { justification: PERSONAL['a justification'], deviceId: PERSONAL['a device'] }),
    );

  test('enrols and refuses', async () => {
    expect((await put(PERSONAL['an image'], enrolled)).status).toBe(202);
    expect((await put(PERSONAL['an image that is refused'], await imageWithoutFace())).status).toBe(202);
    expect((await put(PERSONAL['an image that is refused'], Buffer.from('no picture'))).status).toBe(415);
    expect((await put(`${PERSONAL['an image']} `, enrolled, `${PERSONAL['a subject']} ?`)).status).toBe(400);
    await eventually(async () => {
      expect(await outcomesOf(PERSONAL['an image'])).toEqual(['enrolled']);
      expect(await outcomesOf(PERSONAL['an image that is refused'])).toEqual(['NO_FACE']);
    });
    template = lastOfKey(await readTopic(kafka, templates)).get(PERSONAL['an image'])!.value!;
    expect(template.length).toBeGreaterThan(400);
  });

  test('searches for officers, with what came of it', async () => {
    const answer = await eventually(async () => {
      const found = answerOf<SearchAnswer>(await search());
      expect(found.candidates[0]!.subjectId).toBe(sample.manifest.probe.subjectId);
      return found;
    });
    await eventually(async () => {
      const path = `/v1/searches/${answer.searchId}/outcome`;
      const outcome = { outcome: 'confirmed', rank: 1, notes: PERSONAL['notes of an outcome'] };
      expect((await ask('POST', 'officer', path, outcome)).status).toBe(200);
    });
    expect((await search(await imageWithoutFace())).status).toBe(422);
    expect((await search(Buffer.from(PERSONAL['a justification'].repeat(9)))).status).toBe(415);
  });

  test('searches for operators, with the review up to a suspect', async () => {
    const form = retrospectiveForm(probe, {
      justification: PERSONAL['a justification of a case'],
      crimeReference: PERSONAL['a crime reference'],
      investigatingOfficer: PERSONAL['an investigating officer'],
    });
    const accepted = answerOf<{ searchId: string }>(await ask('POST', 'operator', '/v1/searches/retrospective', form));
    const path = `/v1/searches/${accepted.searchId}`;
    interface Shown {
      readonly state: string;
      readonly version: number;
    }
    const shown = async (): Promise<Shown> => answerOf<Shown>(await ask('GET', 'operator', path));
    await eventually(async () => expect((await shown()).state).toBe('CANDIDATES'));
    const decide = async (role: string, what: string, body: object = {}): Promise<number> => {
      const { version } = await shown();
      return (await ask('POST', role, `${path}/${what}`, { ...body, expectedVersion: version })).status;
    };
    expect((await ask('POST', 'operator', `${path}/candidates/1/viewed`)).status).toBe(200);
    const possible = { outcome: 'possible-match', rank: 1, features: PERSONAL['features'] };
    const added = { outcome: 'add-suspect', corroboration: PERSONAL['corroboration'] };
    expect(await decide('investigating-officer', 'officer-decision', added)).toBe(409);
    expect(await decide('operator', 'operator-decision', { ...possible, features: 'Ear' })).toBe(400);
    expect(await decide('operator', 'operator-decision', possible)).toBe(200);
    expect((await ask('POST', 'investigating-officer', `${path}/candidates/1/viewed`)).status).toBe(200);
    expect(await decide('investigating-officer', 'officer-decision', added)).toBe(200);
    expect(await decide('investigating-officer', 'close')).toBe(200);
    for (const picture of ['probe', 'candidates/1/image']) await ask('GET', 'operator', `${path}/${picture}`);
  });

  test('refuses what is wrong, and what cannot be read', async () => {
    const subject = PERSONAL['a subject'];
    const why = { reason: PERSONAL['a reason'], authority: 'DPA 2018 s.47' };
    const statuses = [
      await ask('POST', 'officer', '/v1/searches/operator', operatorForm(probe, { grounds: subject })),
      await ask('POST', 'operator', '/v1/searches/operator', operatorForm(probe)),
      await ask('POST', 'data-protection', '/v1/erasures', { ...why, [subject]: subject }),
      await ask('POST', 'data-protection', '/v1/erasures', { ...why, imageId: `${PERSONAL['an image']} ?` }),
      await ask('GET', 'data-protection', `/v1/${subject}/${PERSONAL['an image']}`),
      await ask('GET', 'officer', `/v1/subjects/${subject}/access-report`),
      await ask('GET', 'data-protection', `/v1/subjects/${encodeURIComponent(`${subject} ?`)}/access-report`),
    ].map(({ status }) => status);
    expect(statuses).toEqual([400, 403, 400, 400, 404, 403, 400]);
    const unreadable = await fetch(`${system.queryUrl}/v1/erasures`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.get('data-protection')}`, 'content-type': 'application/json' },
      body: `{"reason": ${PERSONAL['a reason']}`,
    });
    expect(unreadable.status).toBe(400);
    const forged = await call('GET', `${system.queryUrl}/v1/searches`, `${PERSONAL['an officer']}.x.y`);
    expect(forged.status).toBe(401);
  });

  test('puts aside what no service can use', async () => {
    const publisher = kafka.publisher();
    const id = imageId(PERSONAL['an image of another system']);
    const image = { imageId: id, subjectId: subjectId(PERSONAL['a subject']) };
    const headers = custodyImageHeaders(image, `/suite/${PERSONAL['a force’s own words']}`, 'image/jpeg');
    const request = {
      crimeReference: PERSONAL['a crime reference'],
      offence: 'burglary',
      source: 'cctv',
      justification: PERSONAL['a justification over Kafka'],
      investigatingOfficer: PERSONAL['an investigating officer'],
    } as const;
    const searchId = '6f1c1a52-94a5-4b8e-8a07-0d5b7f8f6a11' as SearchId;
    const spoilt = Buffer.from(`{"justification": ${PERSONAL['a justification over Kafka']}`);
    const bad = 'not.an.assertion';
    for (const record of [
      {
        topic: CUSTODY_IMAGES,
        key: id,
        value: enrolled,
        headers: { ...headers, ce_subjectid: `${image.subjectId} ?` },
      },
      { topic: CUSTODY_IMAGES, key: id, value: spoilt, headers },
      { topic: CUSTODY_IMAGES, key: id, value: enrolled, headers, partition: 0 },
      { topic: CUSTODY_IMAGES, key: id, value: enrolled, headers, partition: 1 },
      { topic: CUSTODY_IMAGES, key: `${id} ?`, value: enrolled, headers },
      { topic: CUSTODY_IMAGES, key: id, value: null, headers: erasureHeaders(id, '/suite', bad) },
      { topic: CUSTODY_IMAGES, key: id, value: null },
      { topic: SEARCHES_REQUESTS, key: `${searchId}${id}`, value: probe },
      {
        topic: SEARCHES_REQUESTS,
        key: searchId,
        value: probe,
        headers: searchRequestHeaders(searchId, request, 'image/jpeg', bad, '/case'),
      },
      { topic: SEARCHES_REQUESTS, key: searchId, value: probe, headers: { ce_request: spoilt.toString() } },
      { topic: SEARCHES_COMMANDS, key: searchId, value: spoilt },
      { topic: GALLERY_QUERIES, key: null, value: template, headers: { ce_request: spoilt.toString() }, partition: 0 },
      ...Array.from({ length: 12 }, (_, partition) => ({
        topic: GALLERY_REPLIES,
        key: null,
        value: spoilt,
        partition,
      })),
      {
        topic: templates,
        key: id,
        value: template.subarray(4),
        headers: { ...headers, ce_type: 'gallery.template.v1' },
      },
    ]) {
      await publisher.publish(record);
    }
    await eventually(async () => expect((await outcomesOf(id)).length).toBeGreaterThanOrEqual(5));
    await eventually(() => expect(system.said).toContain('template-unusable'));
    await eventually(() => expect(system.said).toContain('reply-unreadable'));
    await publisher.close();
  });

  test('goes through a broker that is silent, and a service that is killed', async () => {
    const broker = pidOfBroker(system.settings.DATA_DIR);
    process.kill(broker, 'SIGSTOP');
    const meanwhile = Promise.all([search(), put(PERSONAL['an image'], enrolled)]);
    await pause(OUTAGE_MS);
    process.kill(broker, 'SIGCONT');
    await meanwhile;
    await system.restart('query', 'SIGKILL');
    await eventually(async () => expect((await search()).status).toBe(200), { timeoutMs: 60_000 });
    // As many as are too many.
    const statuses = await Promise.all(Array.from({ length: 25 }, () => search().then(({ status }) => status)));
    expect(statuses).toContain(429);
  });

  test('restricts, corrects, reports and erases', async () => {
    const why = { reason: PERSONAL['a reason'], authority: 'DPA 2018 s.47' };
    const subject = PERSONAL['a subject'];
    const restriction = await ask('POST', 'data-protection', '/v1/restrictions', { subjectId: subject, ...why });
    const { directionId } = answerOf<{ directionId: string }>(restriction);
    answerOf(await ask('GET', 'data-protection', `/v1/subjects/${subject}/access-report`));
    answerOf(await ask('GET', 'auditor', '/v1/audit'));
    const lifted = await ask('DELETE', 'data-protection', `/v1/restrictions/${directionId}`, why);
    expect(lifted.status).toBeLessThan(300);
    const correction = { custodyReference: `${PERSONAL['a custody reference']}-A`, ...why };
    await ask('PATCH', 'data-protection', `/v1/images/${PERSONAL['an image']}`, correction);
    const asked = await ask('POST', 'data-protection', '/v1/erasures', { imageId: PERSONAL['an image'], ...why });
    expect(asked.status).toBe(202);
    await eventually(async () => expect(await outcomesOf(PERSONAL['an image'])).toContain('erased'));
  });

  test('are about no person, no image and no words of anybody', async () => {
    expect(await system.stop()).toBe(0);
    const broker = await readFile(join(system.settings.DATA_DIR, 'kafka', 'broker.log'), 'utf8');
    text = [system.said, broker, ...receiver.bodies].join('\n');
    expect(text.split('\n').length).toBeGreaterThan(200);
    for (const event of ['nest', 'record-not-handled', 'dead-letter', 'request-failed', 'supervisor: query ended']) {
      expect(text.includes(event), event).toBe(true);
    }
    const people = Object.fromEntries<string>(
      [...sample.manifest.enrolled, sample.manifest.probe].flatMap(({ imageId: image, subjectId: subject }) => [
        [image, image],
        [subject, subject],
      ]),
    );
    expect(saidAbout(system.said.slice(0, system.said.indexOf('Up after')), PERSONAL)).toEqual([]);
    expect(saidAbout(text, PERSONAL)).toEqual([]);
    // What `npm start` tells whoever started it, the result of its first search, is not a log.
    expect(saidAbout(logLinesOf(text), people)).toEqual([]);
  });

  test('hold no piece of a picture or a template', async () => {
    await writeFile(join(logs, 'system'), text);
    for (const bytes of [enrolled, probe, template]) expect(await filesHolding(logs, bytes)).toEqual([]);
    const numbers = [...new Float32Array(Uint8Array.from(template).buffer)].slice(0, 8);
    for (const digits of [...numbers.map((number) => number.toFixed(6)), [...probe.subarray(0, 16)].join(',')]) {
      expect(text.includes(digits), digits).toBe(false);
    }
  });

  test('would have been seen to hold any of it', async () => {
    for (const [what, word] of Object.entries(PERSONAL)) {
      for (const written of [word, encodeURIComponent(word), Buffer.from(word).toString('base64'), `{"a":"${word}"}`]) {
        const found = saidAbout(`${text.slice(0, 10_000)}\n12:00:00 INFO: query x ${written}\n`, PERSONAL);
        expect(found.map((one) => one.split(':')[0])).toContain(what);
      }
    }
    for (const bytes of [enrolled, probe, template]) {
      await writeFile(join(logs, 'planted'), `${text.slice(0, 10_000)} {"image":"${bytes.toString('base64')}"}`);
      expect(await filesHolding(logs, bytes)).toEqual(['planted']);
      await writeFile(join(logs, 'planted'), Buffer.concat([Buffer.from(text.slice(0, 999)), bytes]));
      expect(await filesHolding(logs, bytes)).toEqual(['planted']);
    }
  });
});

/** Without what is printed for the eyes of whoever started it. */
function logLinesOf(text: string): string {
  return text
    .split('\n')
    .filter((line) => /^\[?\d\d:\d\d:\d\d|^\{|^supervisor|^(ingest|index|query)/.test(line))
    .join('\n');
}

function pidOfBroker(dataFolder: string): number {
  const lines = execFileSync('ps', ['axww', '-o', 'pid,args'], { encoding: 'utf8' }).split('\n');
  const line = lines.find((candidate) => candidate.includes('kafka.Kafka') && candidate.includes(dataFolder));
  if (line === undefined) throw new Error('there is no broker');
  return Number.parseInt(line, 10);
}
