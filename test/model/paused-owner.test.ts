/**
 * An owner that stands still for a minute, as a process does whose machine is suspended: long enough that another one
 * has taken its searches over and gone on with them. When it wakes it knows nothing of that, and finishes what it was at.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call } from '#testkit/http-for-tests.js';
import { ReviewLoad, type GivenCommand } from './review-load.js';
import { ReviewLog } from './review-log.js';
import { ReviewScene } from './review-scene.js';

/** Far past the session of six seconds after which the others take over. */
const PAUSED_MS = 60_000;
const SEARCHES = 36;
/** Many, so that the owner is in the middle of as many decisions as it works on at a time when it is paused. */
const PARTIES = 24;
const SEED = 7;

describe('an owner that is paused for a minute in the middle of its decisions', () => {
  let scene: ReviewScene;
  let log: ReviewLog;
  let given: readonly GivenCommand[];
  let decidedMeanwhile: number;

  beforeAll(async () => {
    scene = await ReviewScene.start();
    await scene.ask(SEARCHES);
    await scene.quiet();
    const before = new ReviewLoad(scene.replicas, scene.searches, scene.tokenOf, 900, SEED);
    let pausedAtMs = 0;
    const pauseInTheMiddle = async (): Promise<void> => {
      await before.reached(0.3);
      scene.second.pause();
      pausedAtMs = Date.now();
    };
    await Promise.all([before.run(PARTIES), pauseInTheMiddle()]);
    // By the other one alone: every search of the one that sleeps too.
    await scene.quiet();
    decidedMeanwhile = (await ReviewLog.read(scene.kafka)).accepted.filter(
      ({ at }) => Date.parse(at) > pausedAtMs,
    ).length;
    await pause(Math.max(0, pausedAtMs + PAUSED_MS - Date.now()));
    const after = new ReviewLoad(scene.replicas, scene.searches, scene.tokenOf, 600, SEED + 1_000);
    scene.second.wake();
    await after.run(PARTIES);
    await scene.quiet();
    given = [...before.given, ...after.given];
    log = await ReviewLog.read(scene.kafka);
    const accepted = given.filter(({ told }) => told.kind === 'accepted').length;
    const late = log.late.map(({ type, version }) => `${type} as version ${version}`).join(', ');
    console.log(
      `${given.length} commands, ${accepted} accepted, ${decidedMeanwhile} events while one owner slept; ` +
        `${log.late.length} late ones ignored (${late}); answers ${JSON.stringify([...before.answers, ...after.answers])}`,
    );
  });
  afterAll(async () => {
    await scene?.close();
  });

  test('is succeeded by the other one meanwhile', () => {
    expect(decidedMeanwhile).toBeGreaterThan(0);
  });

  test('changes nothing by what it publishes late: both views are the fold of the log', async () => {
    expect(await scene.disagreements(log, scene.first)).toEqual([]);
    expect(await scene.disagreements(log, scene.second)).toEqual([]);
  });

  test('loses and doubles no decision, and makes none of a refused one', () => {
    expect(log.lost(given)).toEqual([]);
    expect(log.misdone(given)).toEqual([]);
    expect(log.madeUp(given.map(({ commandId }) => commandId))).toEqual([]);
    expect(log.doneAlthoughRefused(given)).toEqual([]);
    expect(log.misinformed(given)).toEqual([]);
  });

  test('lives on, and is ready', async () => {
    expect(scene.second.hasEnded, scene.second.said).toBe(false);
    expect((await call('GET', `${scene.second.url}/health/ready`)).status).toBe(200);
  });
});
