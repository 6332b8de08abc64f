/**
 * Everything that can happen to a snapshot, one after the other: each step of writing and of reading one fails, the
 * process is killed there, the power goes; each section of each file is damaged; the disk is full. After each, the replica
 * starts again and follows the log, and must hold and find exactly what a plain map does.
 */
import { appendFile, cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '#domain/errors.js';
import { GalleryScene } from '../model/gallery-scene.js';
import type { ModelledReplica } from '../model/modelled-replica.js';

export interface SnapshotFaults {
  /** Steps that failed, processes killed and files damaged. */
  readonly faults: number;
  /** Enrolments that were not there afterwards. */
  readonly lost: number;
  /** Erased people that were. */
  readonly resurrected: number;
  /** Answers, digests and error codes that were other than they should be. */
  readonly mismatches: number;
}

/** More than any snapshot here takes: a loop that goes on is a bug of the test. */
const STEPS_MAX = 500;
/** Sections of a file that each get a flipped bit; of a manifest, where every field is a section, more. */
const SECTIONS = 32;
const MANIFEST_SECTIONS = 128;
const GRAPH_HEADER_BYTES = 96;
const CANDIDATES = 20;

/** Fails, kills or cuts the power at every step of writing a snapshot and of restoring one. */
export async function failEveryStep(folder: string, seed: number): Promise<SnapshotFaults> {
  const check = await FaultCheck.open(join(folder, 'steps'), seed);
  const { replica } = check;
  const ways = [
    { code: 'EIO', forGood: false, powerToo: false },
    { code: 'ENOSPC', forGood: false, powerToo: true },
    { code: 'EKILLED', forGood: true, powerToo: false },
    { code: 'EKILLED', forGood: true, powerToo: true },
  ];
  for (const { code, forGood, powerToo } of ways) {
    for (let step = 1; step < STEPS_MAX; step++) {
      await check.somethingHappens();
      replica.disk.failAt(step, code, forGood);
      const error = await errorOf(replica.snapshot());
      const failed = replica.disk.mend();
      if (failed === undefined) break;
      check.expectCode(error, code, failed);
      await replica.crash();
      if (powerToo) await replica.disk.losePower();
      await replica.start();
      await check.afterFault();
      // What failed before works again, with what is on the disk by now.
      if ((await errorOf(replica.snapshot())) !== undefined) check.mismatch(`a snapshot after ${code} in ${failed}`);
    }
  }
  for (let step = 1; step < STEPS_MAX; step++) {
    await check.somethingHappens();
    await replica.crash();
    replica.disk.failAt(step, 'EIO', step % 2 === 0);
    await replica.start();
    const failed = replica.disk.mend();
    if (failed === undefined) break;
    await check.afterFault();
    await replica.snapshot();
  }
  return check.end();
}

/** Flips a bit in every section of every file of the newest snapshot, and cuts each file short in several places. */
export async function damageEverySection(folder: string, seed: number): Promise<SnapshotFaults> {
  const check = await FaultCheck.open(join(folder, 'sections'), seed);
  const { replica, scene } = check;
  // So that there is one of each file.
  while (scene.oracle.missing.size === 0) await scene.enrolUnusable();
  await scene.followAll();
  await replica.built();
  await replica.snapshot();
  // Something new only, so that the one before may stay.
  scene.enrolNew();
  await scene.followAll();
  await replica.built();
  await replica.snapshot();
  await replica.crash();
  const kept = `${replica.folder}.kept`;
  await cp(replica.folder, kept, { recursive: true });

  const newest = String(Math.max(...(await readdir(kept)).map(Number)));
  for (const name of (await readdir(join(kept, newest))).sort()) {
    const bytes = await readFile(join(kept, newest, name));
    for (const harm of harmsOf(name, bytes)) {
      await harm(join(replica.folder, newest, name));
      const noticesBefore = replica.notices.length;
      await replica.start();
      if (replica.notices.length === noticesBefore) check.mismatch(`damage to ${name} that nobody noticed`);
      await check.afterFault();
      await replica.crash();
      await rm(replica.folder, { recursive: true });
      await cp(kept, replica.folder, { recursive: true });
    }
  }
  await replica.start();
  await scene.followAll();
  return check.end();
}

/** A disk without room: nothing is written or removed, nothing else is harmed, and all is well when there is room. */
export async function fillTheDisk(folder: string, seed: number): Promise<SnapshotFaults> {
  const check = await FaultCheck.open(join(folder, 'full'), seed);
  const { replica } = check;
  for (let round = 0; round < 20; round++) {
    await check.somethingHappens();
    const before = await namesOf(replica.folder);
    const { steps } = replica.disk;
    const stepsBefore = steps.length;
    replica.disk.freeBytes = round * 1_048_576;
    const error = await errorOf(replica.snapshot());
    if (error === 'SNAPSHOT_NO_SPACE') {
      check.fault();
      if (steps.slice(stepsBefore).includes('write')) check.mismatch('a full disk was written to');
      if ((await namesOf(replica.folder)).join() !== before.join()) check.mismatch('a full disk was made room on');
    } else if (error !== undefined || round < 2) check.mismatch(`a full disk: ${error ?? 'nothing'}`);
    await check.afterFault();
    replica.disk.freeBytes = Number.MAX_SAFE_INTEGER;
    if (round % 4 === 3 && (await errorOf(replica.snapshot())) !== undefined) check.mismatch('a disk with room again');
  }
  return check.end();
}

/** One replica on a faulty disk beside one on a good one, and what the faults have done. */
class FaultCheck {
  #faults = 0;
  #lost = 0;
  #resurrected = 0;
  readonly #mismatches: string[] = [];

  private constructor(
    readonly scene: GalleryScene,
    readonly replica: ModelledReplica,
  ) {}

  static async open(folder: string, seed: number): Promise<FaultCheck> {
    const scene = new GalleryScene(seed, folder);
    await scene.rescale(1, 1);
    for (let i = 0; i < 100; i++) scene.enrol();
    await scene.followAll();
    return new FaultCheck(scene, scene.replicas[0]!);
  }

  /** Enrolments, erasures, and what is late or bad. */
  async somethingHappens(): Promise<void> {
    const { scene } = this;
    const happenings: readonly (() => Promise<void> | void)[] = [
      ...[1, 2, 3, 4].map(() => () => scene.enrol()),
      () => scene.erase(),
      () => scene.restrict(),
      () => scene.lift(),
      () => scene.enrolUnusable(),
    ];
    for (const happening of happenings) {
      scene.log.nowMs += 1000;
      await happening();
    }
    await scene.followAll();
    if (scene.random() < 0.3) await this.replica.built();
  }

  fault(): void {
    this.#faults++;
  }

  mismatch(what: string): void {
    this.#mismatches.push(what);
  }

  expectCode(error: string | undefined, code: string, failed: string): void {
    // The last steps are after the new one is good.
    const codes = ['SNAPSHOT_OLD_NOT_REMOVED', code === 'ENOSPC' ? 'SNAPSHOT_NO_SPACE' : 'SNAPSHOT_NOT_WRITTEN'];
    // Whether the disk has room need not be known to write, and leftovers are removed at the next occasion.
    const mayGoOn = failed === 'freeBytes' || failed === 'remove';
    if (error === undefined ? !mayGoOn : !codes.includes(error))
      this.mismatch(`${code} in ${failed}: ${error ?? 'nothing'}`);
  }

  /** Follows the log to its end, and compares. */
  async afterFault(): Promise<void> {
    this.#faults++;
    const { scene, replica } = this;
    await scene.followAll();
    const { oracle } = scene;
    const held = replica.heldImages();
    for (const imageId of oracle.enrolled.keys()) if (!held.delete(imageId)) this.#lost++;
    for (const imageId of held) {
      if (oracle.isErasedWhole(imageId)) this.#resurrected++;
      else this.mismatch(`${imageId} is held and was never enrolled`);
    }
    const { digests, unusable } = oracle.coverage();
    for (const [partition, digest] of replica.digests()) {
      if (digest !== digests[partition]) this.mismatch(`the digest of partition ${partition}`);
    }
    const probe = scene.probe();
    const answer = replica.search(probe, CANDIDATES, 'exact');
    const expected = oracle.search(probe, CANDIDATES).map(({ imageId }) => imageId);
    if (answer.candidates.map(({ imageId }) => imageId).join() !== expected.join()) this.mismatch('a search');
    for (const part of answer.coverage) {
      if (part.unusable !== unusable[part.partition]) this.mismatch(`what is missing of partition ${part.partition}`);
    }
    for (const { imageId } of replica.search(probe, CANDIDATES, 'approximate').candidates) {
      if (oracle.scoreOf(probe, imageId) === undefined) this.mismatch('an approximate search');
    }
  }

  async end(): Promise<SnapshotFaults> {
    for (const replica of this.scene.replicas) await replica.crash();
    for (const what of new Set(this.#mismatches)) process.stdout.write(`mismatch: ${what}\n`);
    return {
      faults: this.#faults,
      lost: this.#lost,
      resurrected: this.#resurrected,
      mismatches: this.#mismatches.length,
    };
  }
}

function harmsOf(name: string, bytes: Buffer): ((path: string) => Promise<void>)[] {
  const { length } = bytes;
  const sections = name === 'manifest.json' ? MANIFEST_SECTIONS : SECTIONS;
  const step = Math.max(1, Math.floor(length / sections));
  const places = new Set<number>();
  for (let at = 0; at < length; at += step) places.add(at);
  if (name === 'hnsw.bin') for (let at = 0; at < GRAPH_HEADER_BYTES; at += 4) places.add(at);
  const flips = [...places].map((at) => async (path: string) => {
    const harmed = Buffer.from(bytes);
    harmed[at]! ^= 1 << (at % 8);
    await writeFile(path, harmed);
  });
  const cuts = [0, 1, Math.floor(length / 2), length - 1].map((to) => (path: string) => truncate(path, to));
  return [...flips, ...cuts, (path) => appendFile(path, '\0'), (path) => rm(path)];
}

async function errorOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
}

async function namesOf(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter((name) => /^\d+$/.test(name)).sort();
}
