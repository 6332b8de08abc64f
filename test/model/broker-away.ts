/**
 * The broker is away for half a minute, while people and systems go on asking for everything. Nobody is left without an
 * answer; whoever was told yes has what was asked for, and whoever was told no knows why.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseOutcome } from '#contracts/outcome-record.js';
import { parseSearchEvent } from '#contracts/search-record.js';
import { CUSTODY_OUTCOMES, SEARCHES_EVENTS } from '#contracts/topics.js';
import type { SampleFace } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { idempotentId } from '#platform/idempotency.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { RestartableBroker } from '#testkit/restartable-broker.js';
import { RunningSystem, type ServiceName } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { readTopic } from '#testkit/topic-for-tests.js';

const AWAY_MS = 30_000;
/** Requests begin before and end after the outage, so that some are under way at both of its ends. */
const AROUND_MS = 3_000;
const ROUND_EVERY_MS = 1_500;
const READY_AGAIN_MS = 60_000;
const EFFECT_MS = 60_000;
const SERVICES: readonly ServiceName[] = ['ingest', 'index', 'query'];
const OFFICERS = ['test-investigating-officer', 'io-2'];

type Kind = 'operator search' | 'retrospective search' | 'decision' | 'erasure' | 'image';

interface Asked {
  readonly kind: Kind;
  /** Of the search, the decision's command, the erasure or the image that was to come of it. */
  readonly id: string;
  readonly result: HttpResult;
}

/** How it is away: its connections broken and its port closed, or standing and silent, as behind a network that drops all. */
export type Absence = 'killed' | 'silent';

export function describeBrokerAway(absence: Absence): void {
  describe(`the broker is ${absence} for half a minute`, () => {
    let broker: RestartableBroker;
    let environment: Record<string, string>;
    let system: RunningSystem;
    let kafka: KafkaClient;
    let probe: Buffer;
    let erasable: SampleFace[];
    let reviewed: string;
    let pidsBefore: readonly number[];
    let readyAgainMs: number;
    const tokens = new Map<string, string>();
    const asked: Asked[] = [];

    beforeAll(async () => {
      const sample = await samplePhotographsForTests();
      probe = await faceImage(sample, sample.manifest.probe);
      broker = await RestartableBroker.start();
      environment = await RunningSystem.environment({
        KAFKA_BROKERS: broker.brokers,
        RATE_LIMIT: '1000',
        CONCURRENCY_LIMIT: '100',
      });
      system = await RunningSystem.start(environment);
      kafka = new KafkaClient({ brokers: [broker.brokers], clientId: 'test', log: silentLog });
      for (const role of ['officer', 'operator', 'data-protection', 'service'] as const) {
        tokens.set(role, await system.token(role));
      }
      const form = retrospectiveForm(probe, { limit: '3' });
      reviewed = answerOf<{ searchId: string }>(
        await call('POST', `${system.queryUrl}/v1/searches/retrospective`, tokens.get('operator'), form),
      ).searchId;
      const candidates = await eventually(async () => {
        const { state, answer } = answerOf<{ state: string; answer: { candidates: { imageId: string }[] } }>(
          await call('GET', `${system.queryUrl}/v1/searches/${reviewed}`, tokens.get('operator')),
        );
        expect(state).toBe('CANDIDATES');
        return answer.candidates.map(({ imageId }) => imageId);
      });
      // What an open search has found cannot be erased: all of them find the same three.
      erasable = sample.manifest.enrolled.filter(({ imageId }) => !candidates.includes(imageId));
      pidsBefore = SERVICES.map((service) => system.pidOf(service));
      await outage();
    });
    afterAll(async () => {
      await kafka?.close();
      await system?.stopAndForget();
      await broker?.dispose();
    });

    async function outage(): Promise<void> {
      let over = false;
      const asking = (async () => {
        const pending: Promise<unknown>[] = [];
        for (let round = 0; !over; round++) {
          pending.push(...askForEverything(round));
          await pause(ROUND_EVERY_MS);
        }
        await Promise.all(pending);
      })();
      await pause(AROUND_MS);
      if (absence === 'killed') await broker.kill9();
      else broker.freeze();
      await pause(AWAY_MS);
      if (absence === 'killed') await broker.start();
      else broker.thaw();
      const backAtMs = performance.now();
      await Promise.all(SERVICES.map((service) => system.untilReady(service, READY_AGAIN_MS)));
      await eventually(
        async () => {
          const form = operatorForm(probe);
          answerOf(await call('POST', `${system.queryUrl}/v1/searches/operator`, tokens.get('officer'), form));
        },
        { timeoutMs: READY_AGAIN_MS, intervalMs: 500 },
      );
      readyAgainMs = performance.now() - backAtMs;
      await pause(AROUND_MS);
      over = true;
      await asking;
    }

    function askForEverything(round: number): Promise<unknown>[] {
      const query = `${system.queryUrl}/v1`;
      const ask = async (kind: Kind, id: string, request: Promise<HttpResult>): Promise<void> => {
        const result = await request;
        asked.push({ kind, id, result });
      };
      const key = `round-${round}`;
      const once = { 'idempotency-key': key };
      const reassign = `/v1/searches/${reviewed}/reassign`;
      const requests = [
        ask(
          'operator search',
          idempotentId('test-officer', 'POST /v1/searches/operator', key),
          call('POST', `${query}/searches/operator`, tokens.get('officer'), operatorForm(probe), once),
        ),
        ask(
          'retrospective search',
          idempotentId('test-operator', 'POST /v1/searches/retrospective', key),
          call(
            'POST',
            `${query}/searches/retrospective`,
            tokens.get('operator'),
            retrospectiveForm(probe, { limit: '3' }),
            once,
          ),
        ),
        (async () => {
          const seen = await call('GET', `${query}/searches/${reviewed}`, tokens.get('operator'));
          // A look is audited too, and refused like anything else.
          if (seen.status !== 200) return ask('decision', '', Promise.resolve(seen));
          const { version, request } = answerOf<{ version: number; request: { investigatingOfficer: string } }>(seen);
          const investigatingOfficer = OFFICERS.find((officer) => officer !== request.investigatingOfficer)!;
          const body = { investigatingOfficer, expectedVersion: version };
          const commandId = idempotentId('test-operator', `POST ${reassign}`, key);
          return ask(
            'decision',
            commandId,
            call('POST', system.queryUrl + reassign, tokens.get('operator'), body, once),
          );
        })(),
        ask(
          'image',
          `away-${round}`,
          call('PUT', `${system.ingestUrl}/v1/images/away-${round}?subjectId=away`, tokens.get('service'), probe),
        ),
      ];
      const face = round % 2 === 0 ? erasable[round / 2] : undefined;
      if (face !== undefined) {
        const request = { imageId: face.imageId, reason: 'The request was upheld', authority: 'DPA 2018 s.47' };
        const id = idempotentId('test-data-protection', 'POST /v1/erasures', key);
        requests.push(
          ask('erasure', id, call('POST', `${query}/erasures`, tokens.get('data-protection'), request, once)),
        );
      }
      return requests;
    }

    const accepted = (kind: Kind): string[] =>
      asked.filter((one) => one.kind === kind && one.result.status < 300 && one.id !== '').map(({ id }) => id);

    test('answers every request, and each that it does not carry out with a code and that it can be sent again', () => {
      const refused = asked.filter(({ result }) => result.status >= 300);
      const counts = Object.groupBy(asked, ({ kind, result }) =>
        result.status < 300 ? `${kind}: ${result.status}` : `${kind}: ${refusalOf(result)}`,
      );
      console.log(
        `ready again after ${(readyAgainMs / 1000).toFixed(1)} s; answers`,
        Object.fromEntries(Object.entries(counts).map(([what, all]) => [what, all?.length])),
      );
      expect(refused.length).toBeGreaterThan(0);
      for (const { result } of refused) {
        // Somebody else's decision may have been first: no failure of ours.
        if (result.status === 409) continue;
        expect(result.status, result.text).toBe(503);
        expect(JSON.parse(result.text)).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/), retryable: true });
      }
    });

    test('has every operator search that it answered on record', async () => {
      expect(accepted('operator search').length).toBeGreaterThan(0);
      for (const id of accepted('operator search')) {
        const shown = await call('GET', `${system.queryUrl}/v1/searches/${id}`, tokens.get('officer'));
        expect(shown.status, `${id} ${shown.text}`).toBe(200);
      }
    });

    test('has run every retrospective search that it took', async () => {
      expect(accepted('retrospective search').length).toBeGreaterThan(0);
      for (const id of accepted('retrospective search')) {
        await eventually(
          async () => {
            const shown = await call('GET', `${system.queryUrl}/v1/searches/${id}`, tokens.get('operator'));
            expect(answerOf<{ state: string }>(shown).state).toMatch(/^(CANDIDATES|PARTIAL)$/);
          },
          { timeoutMs: EFFECT_MS },
        );
      }
    });

    test('has every decision that it accepted in the log, once', async () => {
      const events = (await readTopic(kafka, SEARCHES_EVENTS)).map(({ value }) => parseSearchEvent(value!));
      const { review } = answerOf<{ review: { history: { commandId?: string }[] } }>(
        await call('GET', `${system.queryUrl}/v1/searches/${reviewed}`, tokens.get('operator')),
      );
      expect(accepted('decision').length).toBeGreaterThan(0);
      for (const id of accepted('decision')) {
        expect(events.some((event) => 'commandId' in event && event.commandId === id)).toBe(true);
        expect(review.history.filter(({ commandId }) => commandId === id)).toHaveLength(1);
      }
    });

    test('has carried out every erasure that it took', async () => {
      expect(accepted('erasure').length).toBeGreaterThan(0);
      const erased: string[] = [];
      for (const id of accepted('erasure')) {
        const url = `${system.queryUrl}/v1/erasures/${id}`;
        const { images } = answerOf<{ images: { imageId: string }[] }>(
          await call('GET', url, tokens.get('data-protection')),
        );
        erased.push(...images.map(({ imageId }) => imageId));
      }
      await expectOutcomes('erased', erased);
    });

    test('has enrolled every image that it took', async () => {
      expect(accepted('image').length).toBeGreaterThan(0);
      await expectOutcomes('enrolled', accepted('image'));
    });

    async function expectOutcomes(outcome: 'enrolled' | 'erased', imageIds: readonly string[]): Promise<void> {
      await eventually(
        async () => {
          const outcomes = (await readTopic(kafka, CUSTODY_OUTCOMES)).map(({ value }) => parseOutcome(value));
          const found = outcomes.filter((one) => one.outcome === outcome).map(({ imageId }): string => imageId);
          expect(found).toEqual(expect.arrayContaining([...imageIds]));
        },
        { timeoutMs: EFFECT_MS, intervalMs: 500 },
      );
    }

    test('comes back by itself, within a minute and without a restart', () => {
      expect(readyAgainMs).toBeLessThan(READY_AGAIN_MS);
      expect(SERVICES.map((service) => system.pidOf(service))).toEqual(pidsBefore);
      expect(system.said).not.toContain('starting it again');
    });
  });
}
