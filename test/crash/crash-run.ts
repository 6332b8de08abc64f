/**
 * Kills index processes at random moments while the gallery is written to and searched, starts each again, and compares
 * everything that any of them answers with the oracle.
 *
 * Flow: the load enrols, erases and restricts all the time; four processes in two layouts are killed and started again,
 * each on its own; one sweep of searches after another goes to all of them, together asking for every image there is. A
 * process that has come up again is killed only when it has answered a whole sweep, unless its plan is to be killed
 * before. At the end the load stops, and a fifth process builds the gallery from the log alone.
 */
import { join } from 'node:path';
import type { GalleryReply } from '#contracts/gallery-query.js';
import { freePort } from '#kafka/free-port.js';
import { judge, SUPPRESSED_WITHIN_MS, type Finding, type Question } from './answer-check.js';
import type { GalleryScene } from './crash-scene.js';
import { FORCES, GalleryLoad } from './gallery-load.js';
import { GalleryOracle } from './gallery-oracle.js';
import { IndexProcess, type Place, type Stage } from './index-process.js';
import { LeftBehind } from './left-behind.js';
import { LogView } from './log-view.js';
import { ShardAsker } from './shard-asker.js';

/** Two layouts side by side, as while one takes over from the other. */
const PLACES: readonly Pick<Place, 'name' | 'shards' | 'shard' | 'workers'>[] = [
  { name: 'whole-a', shards: 1, shard: 0, workers: 1 },
  { name: 'whole-b', shards: 1, shard: 0, workers: 2 },
  { name: 'half-0', shards: 2, shard: 0, workers: 1 },
  { name: 'half-1', shards: 2, shard: 1, workers: 1 },
];
const IMAGES = 3_000;
/** More than the images of one force, so that an answer has them all; the most that a query may ask for. */
const WHOLE_FORCE = 200;
const BEST = 20;
/** Searches of all forces in each sweep, for each mode. */
const OPEN_SEARCHES = 3;
const ASKED_AT_ONCE = 6;
const SWEEP_PAUSE_MS = 100;
/** As long as an applied record may take from its acknowledgement: what is killed meanwhile is killed applying. */
const APPLYING_WITHIN_MS = 80;
/** Far below what 20 of 20 candidates found twice in a row means; a graph that has lost a part shows it. */
const MATE_SHARE_MIN = 0.97;
const REPAIRED_WITHIN_MS = 30_000;
const TEXTS_MAX = 25;

type KillPlan = 'while starting' | 'while replaying' | 'at a snapshot' | 'while serving';

export interface CrashTally {
  kills: number;
  verified: number;
  lost: number;
  resurrected: number;
  mismatches: number;
  /** Kills by what the process was doing. */
  readonly moments: Record<string, number>;
  /** Starts by what was done to the snapshots before. */
  readonly tamperings: Record<string, number>;
  /** What the processes remarked upon, by event. */
  readonly remarks: Record<string, number>;
  /** The longest that a disposition was acknowledged and not in force. */
  suppressionLateMsMax: number;
  replies: number;
  candidates: number;
  approximate: { searches: number; mates: number; found: number; wanted: number };
}

interface SweepWaiter {
  readonly process: IndexProcess;
  readonly incarnation: number;
  readonly resolve: () => void;
}

export class CrashRun {
  readonly tally: CrashTally = {
    kills: 0,
    verified: 0,
    lost: 0,
    resurrected: 0,
    mismatches: 0,
    moments: {},
    tamperings: {},
    remarks: {},
    suppressionLateMsMax: 0,
    replies: 0,
    candidates: 0,
    approximate: { searches: 0, mates: 0, found: 0, wanted: 0 },
  };
  readonly load: GalleryLoad;
  private readonly oracle = new GalleryOracle();
  private readonly asker: ShardAsker;
  private readonly logView: LogView;
  private readonly processes: IndexProcess[] = [];
  private readonly judging = new Set<Promise<void>>();
  private readonly known = new Set<string>();
  private waiters: SweepWaiter[] = [];
  private ending = false;
  private failure: Error | undefined;

  constructor(
    private readonly scene: GalleryScene,
    private readonly random: () => number,
    private readonly limits: { readonly kills: number; readonly untilMs: number },
    private readonly say: (line: string) => void,
  ) {
    const publisher = scene.kafka.publisher();
    this.load = new GalleryLoad(publisher, scene.model, this.oracle, random, IMAGES, () => this.hasReadyReplicas());
    const { modelId } = scene.model;
    const onFatal = (error: unknown): void => this.fail(error);
    this.logView = new LogView(scene.kafka, modelId, this.oracle, onFatal);
    this.asker = new ShardAsker(scene.kafka, publisher, modelId, (...answer) => this.receive(...answer), onFatal);
  }

  /** Everything, to the end. The tally is whole when it resolves, and as far as it came when it throws. */
  async run(): Promise<void> {
    try {
      await this.logView.start();
      await this.asker.start();
      await this.load.enrolTarget();
      this.load.start();
      const sweeping = this.keepSweeping();
      await Promise.all(PLACES.map((place) => this.keepKilling(place)));
      this.ending = true;
      await sweeping;
      await this.load.stop();
      await this.compareAtRest();
      this.checkMates();
      if (this.failure !== undefined) throw this.failure;
    } finally {
      this.ending = true;
      await Promise.all(this.processes.map((process) => process.kill9()));
      await this.asker.close();
      await this.logView.close();
    }
  }

  private get isOver(): boolean {
    return this.tally.kills >= this.limits.kills || Date.now() > this.limits.untilMs || this.failure !== undefined;
  }

  /** Two of each partition, so that one kill leaves one. */
  private hasReadyReplicas(): boolean {
    const ready = this.processes.filter(({ isReady }) => isReady).map(({ place }) => place);
    const whole = ready.filter(({ shards }) => shards === 1).length;
    return whole >= 2 || (whole === 1 && ready.length === PLACES.length - 1);
  }

  private async keepKilling(place: (typeof PLACES)[number]): Promise<void> {
    const process = await this.newProcess(place);
    const leftBehind = new LeftBehind(
      process.place.snapshotFolder,
      join(this.scene.folder, `backup-${place.name}`),
      this.random,
    );
    while (!this.isOver) {
      process.start(this.oracle.ackedEnds);
      try {
        await this.waitForMoment(process, this.plan());
      } catch (error) {
        this.add({
          kind: 'mismatch',
          about: `${place.name} start ${process.incarnation}`,
          text: `${String(error)}\n${process.said}`,
        });
      }
      if (this.isOver) break;
      const wasApplying = this.load.wroteWithin(APPLYING_WITHIN_MS);
      const stage = process.reached;
      await process.kill9();
      this.tally.kills++;
      count(this.tally.moments, momentOf(stage, await leftBehind.hasUnfinished(), wasApplying));
      count(this.tally.tamperings, await leftBehind.tamper());
    }
    if (!process.isAlive) process.start(this.oracle.ackedEnds);
    await process.until('ready');
  }

  private plan(): KillPlan {
    const chance = this.random();
    if (chance < 0.12) return 'while starting';
    if (chance < 0.35) return 'while replaying';
    return chance < 0.65 ? 'at a snapshot' : 'while serving';
  }

  private async waitForMoment(process: IndexProcess, plan: KillPlan): Promise<void> {
    switch (plan) {
      case 'while starting':
        return pause(this.random() * 2_000);
      case 'while replaying':
        await process.until('snapshot-restored');
        return pause(this.random() * 300);
      case 'at a snapshot':
        await this.untilVerified(process);
        // One is on its way each second; this one is where the kill is.
        void this.askForSnapshot(process);
        return pause(this.random() * 250);
      case 'while serving':
        await this.untilVerified(process);
        return pause(this.random() * 2_000);
    }
  }

  private async untilVerified(process: IndexProcess): Promise<void> {
    await process.until('ready');
    const { incarnation } = process;
    if (this.failure !== undefined) return;
    await new Promise<void>((resolve) => this.waiters.push({ process, incarnation, resolve }));
  }

  private async askForSnapshot({ place }: IndexProcess): Promise<void> {
    const headers = { authorization: `Bearer ${this.scene.token}` };
    // Killed before it answers, more often than not.
    await fetch(`http://127.0.0.1:${place.port}/v1/snapshots`, { method: 'POST', headers }).catch(() => undefined);
  }

  private async newProcess(place: Omit<Place, 'port' | 'snapshotFolder'>): Promise<IndexProcess> {
    const snapshotFolder = join(this.scene.folder, 'snapshots', place.name);
    const process = new IndexProcess(
      { ...place, port: await freePort(), snapshotFolder },
      this.scene.environment,
      (event, level) => {
        if (level === 'warn' || level === 'error') count(this.tally.remarks, event);
      },
      (said) =>
        this.add({
          kind: 'mismatch',
          about: `${place.name} end ${process.incarnation}`,
          text: `ended by itself:\n${said}`,
        }),
    );
    this.processes.push(process);
    return process;
  }

  private async keepSweeping(): Promise<void> {
    while (!this.ending && this.failure === undefined) {
      await this.sweep();
      await pause(SWEEP_PAUSE_MS);
    }
    for (const { resolve } of this.waiters.splice(0)) resolve();
  }

  /** Asks for every image of every force, and for the best of all by both engines. */
  private async sweep(): Promise<void> {
    const taking = this.processes
      .filter(({ isReady }) => isReady)
      .map((process) => ({ process, incarnation: process.incarnation }));
    const stillThere = (): typeof taking =>
      taking.filter(({ process, incarnation }) => process.isReady && process.incarnation === incarnation);
    const questions: Pick<Question, 'probe' | 'k' | 'mode' | 'force'>[] = [];
    for (let force = 0; force < FORCES; force++) {
      questions.push({ probe: this.load.probe(), k: WHOLE_FORCE, mode: 'exact', force: `force-${force}` });
    }
    for (let i = 0; i < OPEN_SEARCHES; i++) {
      const probe = this.load.probe();
      for (const mode of ['exact', 'approximate'] as const) questions.push({ probe, k: BEST, mode, force: undefined });
    }
    const askOn = async (): Promise<void> => {
      for (let question = questions.pop(); question !== undefined; question = questions.pop()) {
        const late = await this.asker.ask(question, () => stillThere().flatMap(({ process }) => process.replicaIds));
        for (const worker of late) this.add({ kind: 'mismatch', about: worker, text: 'has not answered' });
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askOn));
    await Promise.all(this.judging);
    for (const { process, incarnation } of stillThere()) this.verified(process, incarnation);
  }

  private verified(process: IndexProcess, incarnation: number): void {
    const isOf = (waiter: SweepWaiter): boolean => waiter.process === process && waiter.incarnation === incarnation;
    const waiting = this.waiters.filter(isOf);
    this.waiters = this.waiters.filter((waiter) => !isOf(waiter) && waiter.process.isAlive);
    this.tally.verified += waiting.length;
    for (const { resolve } of waiting) resolve();
  }

  private receive(question: Question, reply: GalleryReply, receivedAtMs: number): void {
    const judged = this.judge(question, reply, receivedAtMs)
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.judging.delete(judged));
    this.judging.add(judged);
  }

  private async judge(question: Question, reply: GalleryReply, receivedAtMs: number): Promise<void> {
    const process = this.processes.find(({ replicaIds }) => replicaIds.includes(reply.replicaId))!;
    // A reply of the process before may come when the next one is on its way.
    const isOfThis = process.isReady && question.sentAtMs >= process.readyAtMs;
    const startedAtMs = isOfThis ? process.startedAtMs : 0;
    const ackedAtStart = isOfThis ? process.ackedAtStart : new Map<number, number>();
    // It may have read what is still to be acknowledged here.
    await this.load.settled();
    await this.logView.readTo(new Map(reply.coverage.map(({ partition, watermark }) => [partition, watermark])));
    const { findings, expected, suppressionLateMs } = judge(this.oracle, question, reply, startedAtMs, receivedAtMs);
    for (const finding of findings) this.add(finding);
    for (const { partition, watermark } of reply.coverage) {
      const acked = ackedAtStart.get(partition) ?? 0;
      if (watermark >= acked) continue;
      const about = `${reply.replicaId} partition ${partition}`;
      this.add({ kind: 'lost', about, text: `read to ${watermark}, not to ${acked}, when it was ready` });
    }
    this.tally.suppressionLateMsMax = Math.max(this.tally.suppressionLateMsMax, suppressionLateMs);
    this.tally.replies++;
    this.tally.candidates += reply.candidates.length;
    if (reply.mode === 'approximate') this.countApproximate(reply, expected);
  }

  private countApproximate(reply: GalleryReply, expected: readonly string[]): void {
    const { approximate } = this.tally;
    approximate.searches++;
    if (reply.candidates[0]?.imageId === expected[0]) approximate.mates++;
    const found = new Set<string>(reply.candidates.map(({ imageId }) => imageId));
    approximate.wanted += expected.length;
    approximate.found += expected.filter((imageId) => found.has(imageId)).length;
  }

  /** Nothing is written any more: everything is certain, and the log alone must give what the snapshots give. */
  private async compareAtRest(): Promise<void> {
    const fromLog = await this.newProcess({ name: 'from-log', shards: 1, shard: 0, workers: 1 });
    fromLog.start(this.oracle.ackedEnds);
    await Promise.all(this.processes.map((process) => process.until('ready')));
    await pause(SUPPRESSED_WITHIN_MS + 500);
    await this.sweep();
    // Every replica that reads of a late record puts the right one back, in its own time.
    const deadlineMs = Date.now() + REPAIRED_WITHIN_MS;
    while (this.oracle.overwritten().length > 0 && Date.now() < deadlineMs) await pause(100);
    for (const about of this.oracle.overwritten()) {
      const text = `the last record in the log is not the right one; ${this.oracle.describe(about)}`;
      this.add({ kind: 'mismatch', about, text });
    }
    for (const process of this.processes) {
      const code = await process.stop();
      if (code !== 0) this.add({ kind: 'mismatch', about: process.name, text: `ended with ${code}:\n${process.said}` });
    }
  }

  private checkMates(): void {
    const { searches, mates } = this.tally.approximate;
    if (mates >= searches * MATE_SHARE_MIN) return;
    this.add({ kind: 'mismatch', about: 'graph', text: `found ${mates} of ${searches} first candidates` });
  }

  private add({ kind, about, text }: Finding): void {
    if (this.known.has(`${kind} ${about}`)) return;
    this.known.add(`${kind} ${about}`);
    if (kind === 'mismatch') this.tally.mismatches++;
    else this.tally[kind]++;
    const at = new Date().toISOString();
    if (this.known.size <= TEXTS_MAX) this.say(`${at} ${kind}: ${about}: ${text}`);
  }

  /** Ends it in order, and as failed. */
  abandon(): void {
    this.fail(new Error('abandoned'));
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    for (const { resolve } of this.waiters.splice(0)) resolve();
  }
}

function momentOf(stage: Stage, isWriting: boolean, isApplying: boolean): string {
  if (stage === 'spawned' || stage === 'listening') return 'starting';
  if (isWriting) return 'writing a snapshot';
  if (stage === 'snapshot-restored') return 'replaying';
  return isApplying ? 'applying' : 'serving';
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
