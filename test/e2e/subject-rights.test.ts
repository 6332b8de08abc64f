/** What a person may ask of the police about their custody images, over HTTP, on the whole system. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccessReport } from '#domain/access-report.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace } from '#face/sample-manifest.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, metric, refusalOf } from '#testkit/http-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';

const CORRECT_SUBJECT = 'subject-as-it-should-be';
const why = { reason: 'Booked under the wrong custody record.', authority: 'DPA 2018 s.46' };

describe('the rights of the person in a custody image', () => {
  let system: RunningSystem;
  /** Enrolled; its person is searched for with the probe, another photograph. */
  let enrolled: SampleFace;
  let probe: Buffer;
  let officer: string;
  let dataProtection: string;
  let before: string;

  beforeAll(async () => {
    const sample = await samplePhotographsForTests();
    const { probe: probeFace } = sample.manifest;
    enrolled = sample.manifest.enrolled.find((face) => face.subjectId === probeFace.subjectId)!;
    probe = await faceImage(sample, probeFace);
    before = new Date().toISOString();
    system = await RunningSystem.start(await RunningSystem.environment({ RATE_LIMIT: '10000' }));
    officer = await system.token('officer');
    dataProtection = await system.token('data-protection');
  });
  afterAll(async () => {
    await system?.stopAndForget();
  });

  async function found(): Promise<SearchAnswer['candidates']> {
    const url = `${system.queryUrl}/v1/searches/operator`;
    return answerOf<SearchAnswer>(await call('POST', url, officer, operatorForm(probe))).candidates;
  }

  async function ask<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
    return answerOf<T>(await call(method, `${system.queryUrl}${path}`, dataProtection, body));
  }

  const reportOf = (subjectId: string): Promise<AccessReport> => ask('GET', `/v1/subjects/${subjectId}/access-report`);

  test('they are told what is held, what searched it, and who was shown it', async () => {
    expect(await found()).toMatchObject([{ imageId: enrolled.imageId, subjectId: enrolled.subjectId }]);
    const shown = { kind: 'operator', grounds: 'missing', rank: 1, imageId: enrolled.imageId };
    const report = await eventually(async () => {
      const one = await reportOf(enrolled.subjectId);
      expect(one.searches).toContainEqual(expect.objectContaining(shown));
      return one;
    });
    expect(report.images).toMatchObject([{ imageId: enrolled.imageId, searchable: true }]);
    expect(report.accesses.map(({ action }) => action)).toContain('operator-search-answered');
    expect(report.changes.map(({ operation }) => operation)).toEqual(['collection']);
  });

  test('they can read it, and find nothing about anybody else in it', async () => {
    const url = `${system.queryUrl}/v1/subjects/${enrolled.subjectId}/access-report`;
    const page = await call('GET', url, dataProtection, undefined, { accept: 'text/html,application/json;q=0.9' });
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.text).toContain(enrolled.imageId);
    const others = (await samplePhotographsForTests()).manifest.enrolled
      .map(({ subjectId }) => subjectId)
      .filter((subjectId) => subjectId !== enrolled.subjectId);
    expect(others.length).toBeGreaterThan(0);
    for (const text of [page.text, JSON.stringify(await reportOf(enrolled.subjectId))]) {
      for (const other of others) expect(text).not.toMatch(new RegExp(`[">]${other}["<]`));
    }
    expect(refusalOf(await call('GET', url, officer))).toBe('403 ROLE_NOT_ALLOWED');
  });

  test('what is wrong is put right, and searches return the same face under what is right', async () => {
    const [candidate] = await found();
    const fields = { subjectId: CORRECT_SUBJECT, ageBand: '10-17' };
    await ask('PATCH', `/v1/images/${enrolled.imageId}`, { ...fields, ...why });
    await eventually(async () => {
      expect(await found()).toMatchObject([{ imageId: enrolled.imageId, subjectId: CORRECT_SUBJECT }]);
    });
    expect((await found())[0]!.score).toBeCloseTo(candidate!.score, 2);
    await eventually(async () => {
      expect((await reportOf(CORRECT_SUBJECT)).images).toMatchObject([{ ageBand: '10-17' }]);
    });
    expect((await reportOf(enrolled.subjectId)).images).toEqual([]);
    const missing = await call('PATCH', `${system.queryUrl}/v1/images/none`, dataProtection, { ...fields, ...why });
    expect(refusalOf(missing)).toBe('404 IMAGE_NOT_HELD');
  });

  test('a correction does not lift a restriction', async () => {
    const { directionId } = await ask<{ directionId: string }>('POST', '/v1/restrictions', {
      imageId: enrolled.imageId,
      ...why,
    });
    await eventually(async () => expect(await found()).toEqual([]));
    await ask('PATCH', `/v1/images/${enrolled.imageId}`, { force: 'gwent', ...why });
    await eventually(async () => {
      expect((await reportOf(CORRECT_SUBJECT)).images).toMatchObject([{ force: 'gwent', searchable: false }]);
    });
    expect(await found()).toEqual([]);
    await ask('DELETE', `/v1/restrictions/${directionId}`, why);
    await eventually(async () => expect(await found()).toMatchObject([{ force: 'gwent' }]));
  });

  test('it can be said when they could be found, from the audit', async () => {
    const auditor = await system.token('auditor');
    const at = async (when: string): Promise<{ searchable: string; images: { evidence: { action: string }[] }[] }> => {
      const url = `${system.queryUrl}/v1/subjects/${CORRECT_SUBJECT}/searchable?at=${when}`;
      return answerOf(await call('GET', url, auditor));
    };
    expect((await at(before)).searchable).toBe('no');
    const now = await at(new Date().toISOString());
    expect(now.images).toHaveLength(1);
    expect(now.images[0]!.evidence.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['images-enrolled', 'restriction-directed', 'restriction-lifted']),
    );
  });

  test('an outcome without conviction puts their image on the list of what is to be reviewed, over a restart', async () => {
    const outcome = { subjectId: CORRECT_SUBJECT, outcome: 'no-further-action', at: new Date().toISOString() };
    await ask('POST', '/v1/disposals', { ...outcome, reason: 'As the custody system reports.', authority: 'Policy 1' });
    const due = async (): Promise<unknown> => ask('GET', '/v1/reviews-due');
    const listed = { due: [{ imageId: enrolled.imageId, review: { because: { rule: 'outcome' }, child: true } }] };
    expect(await due()).toMatchObject(listed);
    await eventually(async () => expect(await metric(system.queryUrl, 'custody_reviews_due')).toBe(1));
    // The register is derived: a service that starts without it builds it again.
    await system.restart('query', 'SIGKILL', () => rm(system.settings.REGISTER_FILE));
    expect(await due()).toMatchObject(listed);
    const retained = { subjectId: CORRECT_SUBJECT, decision: 'retain', retainUntil: nextYear() };
    await ask('POST', '/v1/reviews', { ...retained, reason: 'Wanted in another force.', authority: 'Policy 1' });
    expect(await due()).toMatchObject({ due: [] });
  });
});

function nextYear(): string {
  return `${new Date().getUTCFullYear() + 1}-12-31`;
}
