/**
 * Two replicas, many people, one truth: random decisions about the same searches from both replicas, each of which is
 * killed once meanwhile. Afterwards the log is read from its first event, and compared with every view and with what
 * everybody was told.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CUSTODY_DISPOSITIONS } from '#contracts/topics.js';
import { idempotentId } from '#platform/idempotency.js';
import { answerOf, call } from '#testkit/http-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { readTopic } from '#testkit/topic-for-tests.js';
import { ReviewLoad } from './review-load.js';
import { ReviewLog } from './review-log.js';
import { ReviewScene } from './review-scene.js';

/** As many as keep both replicas busy; each has up to four people with one search open. */
const PARTIES = 10;
const CONFLICTS_SHARE_MIN = 0.3;
/** The session of the replica that sealed, the interval of its successor, and what a loaded machine adds. */
const UNSEALED_SECONDS_MAX = 15;
/** A killed replica is missed for longer than its session lasts, so that the other one takes all partitions over. */
const DEAD_MS = 14_000;

export function describeReviewConflicts({
  commands,
  searches,
  seed,
}: {
  readonly commands: number;
  readonly searches: number;
  readonly seed: number;
}): void {
  describe(`${commands} decisions on ${searches} searches from two replicas that are killed meanwhile`, () => {
    let scene: ReviewScene;
    let load: ReviewLoad;
    let log: ReviewLog;
    let waiting: number;
    const beforehand = randomUUID();

    beforeAll(async () => {
      scene = await ReviewScene.start();
      await scene.ask(1);
      waiting = await decideWhileOthersWait();
      await eventually(async () => expect(await scene.countIn(scene.first, 'RECEIVED')).toBe(0), {
        timeoutMs: 120_000,
      });
      load = new ReviewLoad(scene.replicas, scene.searches, scene.tokenOf, commands, seed);
      const startedAtMs = Date.now();
      await Promise.all([load.run(PARTIES), mishaps()]);
      await scene.quiet();
      log = await ReviewLog.read(scene.kafka);
      say((Date.now() - startedAtMs) / 1000);
    }, 30 * 60_000);
    afterAll(async () => {
      await scene?.close();
    });

    /** @returns how many searches still waited for their run when the decision was answered */
    async function decideWhileOthersWait(): Promise<number> {
      const id = scene.searches[0]!;
      const { version } = await eventually(async () => {
        const shown = await scene.shown(scene.second, id);
        expect(shown).toMatchObject({ state: 'CANDIDATES', failure: null });
        return shown as { version: number };
      });
      return scene.whileNoSearchRuns(async () => {
        await scene.ask(searches - 1);
        const body = { investigatingOfficer: 'io-4', expectedVersion: version };
        const url = `${scene.second.url}/v1/searches/${id}/reassign`;
        answerOf(await call('POST', url, scene.tokenOf('op-5'), body, { 'idempotency-key': beforehand }));
        return searches - (await scene.countIn(scene.second, 'CANDIDATES', 'AWAITING_FACE', 'FAILED'));
      });
    }

    async function mishaps(): Promise<void> {
      await load.reached(0.2);
      await scene.second.kill();
      await new Promise((resolve) => setTimeout(resolve, DEAD_MS));
      await scene.second.start();
      await load.reached(0.5);
      await restrictCandidate();
      await load.reached(0.65);
      await scene.first.kill();
    }

    /** The best candidate of a third of all searches, by the service's own commands. */
    async function restrictCandidate(): Promise<void> {
      const { answer } = (await scene.shown(scene.second, scene.searches[0]!)) as {
        answer: { candidates: { imageId: string }[] };
      };
      const { imageId } = answer.candidates[0]!;
      const why = { imageId, reason: 'A dispute about the record', authority: 'DPA 2018 s.47' };
      answerOf(await call('POST', `${scene.second.url}/v1/restrictions`, scene.tokenOf('dp-1'), why));
      await eventually(async () => expect(await readTopic(scene.kafka, CUSTODY_DISPOSITIONS)).not.toEqual([]));
    }

    function say(seconds: number): void {
      const codes = Object.fromEntries([...load.answers].toSorted(([, a], [, b]) => b - a));
      const kinds = Object.groupBy(log.accepted, ({ type }) => type);
      const accepted = Object.fromEntries(Object.entries(kinds).map(([type, events]) => [type, events.length]));
      const share = ((100 * load.conflicts()) / load.given.length).toFixed(1);
      console.log(
        [
          `seed ${seed}: ${load.given.length} commands in ${seconds.toFixed(0)} s, ${load.conflicts()} lost to somebody who was first (${share} %)`,
          `answers ${JSON.stringify(codes)}`,
          `events  ${JSON.stringify(accepted)}; ${log.late.length} late ones ignored`,
          `not answered: ${load.given.filter(({ told }) => told.kind === 'unknown').length}; unsealed at most ${scene.unsealedSecondsMax.toFixed(1)} s`,
        ].join('\n'),
      );
    }

    test('decisions are taken up while searches wait for their run', () => {
      expect(waiting).toBe(searches - 1);
    });

    test('enough of them conflict', () => {
      expect(load.given.length).toBe(commands);
      expect(load.conflicts() / load.given.length).toBeGreaterThanOrEqual(CONFLICTS_SHARE_MIN);
    });

    test('both replicas show every search as a fold of the log from its first event', async () => {
      expect(await scene.disagreements(log, scene.first)).toEqual([]);
      expect(await scene.disagreements(log, scene.second)).toEqual([]);
    });

    test('no decision that was said to be accepted is lost', () => {
      expect(log.lost(load.given)).toEqual([]);
    });

    test('no decision is in the log twice, or on another version than the person saw', () => {
      expect(log.misdone(load.given)).toEqual([]);
      const own = idempotentId('op-5', `POST /v1/searches/${scene.searches[0]!}/reassign`, beforehand);
      expect(log.madeUp([...load.given.map(({ commandId }) => commandId), own])).toEqual([]);
    });

    test('no decision that was refused is in the log, and the loser was told who was first', () => {
      expect(log.doneAlthoughRefused(load.given)).toEqual([]);
      expect(log.misinformed(load.given)).toEqual([]);
    });

    test('a view that is deleted is built again, and equal', async () => {
      await scene.second.kill();
      scene.second.forgetView();
      await scene.second.start();
      expect(await scene.disagreements(log, scene.second)).toEqual([]);
    });

    test('whoever is left seals the audit', () => {
      expect(scene.unsealedSecondsMax).toBeLessThanOrEqual(UNSEALED_SECONDS_MAX);
    });
  });
}
