/**
 * Random things that happen to a gallery, to its log and to the oracle at once: enrolments, erasures, records that are
 * late or cannot be used, snapshots, crashes, power cuts, compaction, another number of shards. Everything follows from
 * the seed.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeTemplate } from '#contracts/template-record.js';
import { isErased, type DispositionKind } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { Gather, type Gathered } from '#domain/gather.js';
import { imageId, modelId, offset, subjectId } from '#domain/ids.js';
import type { WorkerAnswer } from '#gallery/shard-protocol.js';
import { faceLikeVector, seededRandom, variantOf } from '#gallery/vectors-for-tests.js';
import { GalleryLog, type Enrolment } from './gallery-log.js';
import { GalleryOracle } from './gallery-oracle.js';
import { layoutsOf, ModelledReplica } from './modelled-replica.js';

const DIMENSION = 16;
const IMAGES = 150;
const SUBJECTS = 60;
const FACES = 40;
const REPLICAS = 2;
/** Steps of a snapshot's writing at most, so that a crash may come at each. */
const SNAPSHOT_STEPS = 60;

type Happening = (scene: GalleryScene) => Promise<void> | void;

export class GalleryScene {
  readonly log = new GalleryLog(modelId('0123456789abcdef'));
  readonly oracle = new GalleryOracle(this.log);
  readonly random: () => number;
  /** What happened, and how often. */
  readonly counts = new Map<string, number>();
  replicas: ModelledReplica[] = [];
  #generations = 0;
  #added = 0;
  readonly #faces: Float32Array[];
  /** `custody.images`, by partition: the next record's offset. */
  readonly #nextSource = new Array<number>(TEMPLATE_PARTITIONS).fill(0);
  /** All that was ever enrolled under an id, what is erased included. */
  readonly #history = new Map<string, Enrolment[]>();

  constructor(
    seed: number,
    private readonly folder: string,
  ) {
    this.random = seededRandom(seed);
    this.#faces = Array.from({ length: FACES }, () => faceLikeVector(this.random, DIMENSION));
  }

  /** Goes over to as many shards and workers: a new layout from the log, beside the old one until it has caught up. */
  async rescale(shards: number, workers: number): Promise<void> {
    const former = this.replicas;
    const added: ModelledReplica[] = [];
    this.#generations++;
    for (let replica = 0; replica < REPLICAS; replica++) {
      for (const layout of layoutsOf(shards, workers)) {
        const name = `${this.#generations}-${layout.shard}-of-${shards}-${layout.worker}-of-${workers}-${replica}`;
        added.push(new ModelledReplica(this.log, DIMENSION, layout, join(this.folder, name), this.random));
      }
    }
    for (const one of added) await one.start();
    this.replicas = [...former, ...added];
    await this.followAll();
    this.replicas = added;
    for (const one of former) await one.crash();
    for (const one of former) await rm(one.folder, { recursive: true, force: true });
  }

  async happen(): Promise<void> {
    this.log.nowMs += 1000;
    const [name, happening] = pickWeighted(HAPPENINGS, this.random);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    await happening(this);
    // Most of the time everybody is up to date; what a replica that lags does is a part of the game.
    for (const replica of this.replicas) if (this.random() < 0.7) await replica.follow();
  }

  /** Until nobody puts anything right any more. */
  async followAll(): Promise<void> {
    const isBehind = (one: ModelledReplica): boolean => one.partitions.some((p) => one.handled(p) < this.log.end(p));
    for (let round = 0; round < 20; round++) {
      for (const replica of this.replicas) await replica.follow();
      if (!this.replicas.some(isBehind)) return;
    }
    throw new Error('the replicas put the log right for ever');
  }

  /** All replicas' answers, merged as a search merges them. */
  gathered(answers: readonly WorkerAnswer[], k: number): Gathered {
    const gather = new Gather(TEMPLATE_PARTITIONS, (id) => this.log.partitionOf(id));
    answers.forEach(({ coverage, candidates, mode }, i) => {
      gather.add({
        replicaId: String(i),
        mode,
        candidates,
        coverage: coverage.map((part) => ({ ...part, behindMs: 0 })),
      });
    });
    return gather.result(k, () => true);
  }

  probe(): Float32Array {
    return this.random() < 0.5 ? this.#vector() : faceLikeVector(this.random, DIMENSION);
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)]!;
  }

  enrol(): void {
    this.#enrol(this.#anyImage());
  }

  /** Of an image that there was not before. */
  enrolNew(): void {
    this.#enrol(`i${IMAGES + this.#added++}`);
  }

  /** A writer that was held up: what it writes was superseded, or erased, in the meantime. */
  async enrolLate(): Promise<void> {
    const history = this.#history.get(this.#anyImage());
    if (history === undefined) return;
    const enrolment = this.pick(history);
    const isErasedBy = this.oracle.dispositions.get(enrolment.metadata.imageId);
    // Several replicas put a tombstone back, in their own time: nothing else about the image may come in between.
    if (isErased(isErasedBy, offset(enrolment.sourceOffset))) await this.followAll();
    this.log.appendTemplate(enrolment);
    this.oracle.template(enrolment);
    if (isErased(isErasedBy, offset(enrolment.sourceOffset))) await this.followAll();
  }

  erase(): void {
    const image = this.#anyImage();
    const sourceOffset = this.#takeSource(image);
    this.#dispose(image, 'erased', sourceOffset);
    this.log.append(image, null);
  }

  restrict(): void {
    const image = this.#anyImage();
    this.#dispose(
      image,
      this.random() < 0.5 ? 'restricted' : 'retired',
      this.#nextSource[this.log.partitionOf(image)]!,
    );
  }

  lift(): void {
    const hidden = [...this.oracle.dispositions].filter(([, { kind }]) => kind !== 'erased').map(([image]) => image);
    if (hidden.length === 0) return;
    const image = this.pick(hidden);
    this.log.dispositions.push({ imageId: imageId(image), disposition: null });
    this.oracle.disposition(image, null);
  }

  /** A record that nobody can use: of another model, of another length, not normalised, without its headers. */
  async enrolUnusable(): Promise<void> {
    const image = this.#anyImage();
    const isNamed = this.random() < 0.5;
    await this.followAll();
    const sourceOffset = this.#takeSource(image);
    const good = this.#enrolmentOf(image, sourceOffset);
    const headers = { ...this.log.headersOf(good) };
    let bytes = Buffer.from(encodeTemplate(good.vector));
    const harm = Math.floor(this.random() * 5);
    if (harm === 0) bytes = bytes.subarray(0, 4 * (DIMENSION - 1));
    if (harm === 1) bytes.writeFloatLE(this.pick([Number.NaN, Infinity, 3e38]), 4);
    if (harm === 2) bytes = Buffer.from(encodeTemplate(good.vector.map((value) => value * 1.01)));
    if (harm === 3) headers['ce_modelid'] = 'fedcba9876543210';
    if (harm === 4) delete headers['ce_subjectid'];
    if (!isNamed) headers['ce_sourceoffset'] = 'none';
    this.log.append(image, bytes, headers);
    this.oracle.unusable(image, isNamed ? sourceOffset : undefined);
    await this.followAll();
  }

  /** Of no image: dead, and nothing is missing. */
  enrolNobody(): void {
    this.log.append(this.pick(['', 'no body', 'x'.repeat(200), '\u0000']), Buffer.from('rubbish'), {});
  }

  /** Of an image that is only restricted: the log must get its template back. */
  async removeWrongly(): Promise<void> {
    const hidden = [...this.oracle.dispositions].filter(([, { kind }]) => kind !== 'erased').map(([image]) => image);
    const held = hidden.filter((image) => this.oracle.enrolled.has(image));
    if (held.length === 0) return;
    await this.followAll();
    this.log.append(this.pick(held), null);
    await this.followAll();
  }

  async snapshot(): Promise<void> {
    await this.pick(this.replicas).snapshot();
  }

  /** At any step of a snapshot, or in between; with the power or without. */
  async crash(): Promise<void> {
    const replica = this.pick(this.replicas);
    const random = this.random();
    if (random < 0.6) {
      replica.disk.failAt(1 + Math.floor(this.random() * SNAPSHOT_STEPS), 'EKILLED', true);
      await replica.snapshot().catch(() => undefined);
    }
    await replica.crash();
    if (this.random() < 0.5) await replica.disk.losePower();
    if (this.random() < 0.1) await flipBit(replica.folder, this.random);
    await replica.start();
  }

  /** A disk that fails a step, and works again. */
  async failSnapshot(): Promise<void> {
    const replica = this.pick(this.replicas);
    replica.disk.failAt(
      1 + Math.floor(this.random() * SNAPSHOT_STEPS),
      this.pick(['ENOSPC', 'EIO']),
      this.random() < 0.5,
    );
    await replica.snapshot().catch(() => undefined);
    replica.disk.mend();
  }

  compact(): void {
    const followedUp = (partition: number): number =>
      Math.min(
        ...this.replicas.filter((one) => one.partitions.includes(partition)).map((one) => one.handled(partition)),
      );
    this.log.compact(followedUp, (image) => this.oracle.isErasedWhole(image) && this.random() < 0.7);
  }

  #enrol(image: string): void {
    const enrolment = this.#enrolmentOf(image, this.#takeSource(image));
    this.#history.set(image, [...(this.#history.get(image) ?? []), enrolment].slice(-5));
    this.log.appendTemplate(enrolment);
    this.oracle.template(enrolment);
  }

  #enrolmentOf(image: string, sourceOffset: number): Enrolment {
    const id = imageId(image);
    const subject = subjectId(`s${Math.floor(this.random() * SUBJECTS)}`);
    return { metadata: { imageId: id, subjectId: subject, force: 'Gwent' }, sourceOffset, vector: this.#vector() };
  }

  /** Of few faces, some of them the same to the bit, so that ties and near ties are common. */
  #vector(): Float32Array {
    return variantOf(this.pick(this.#faces), this.random, this.random() < 0.2 ? 0 : 0.3);
  }

  #anyImage(): string {
    return `i${Math.floor(this.random() * IMAGES)}`;
  }

  #takeSource(image: string): number {
    return this.#nextSource[this.log.partitionOf(image)]!++;
  }

  #dispose(image: string, kind: DispositionKind, sourceOffset: number): void {
    const disposition = {
      imageId: imageId(image),
      kind,
      since: new Date(this.log.nowMs).toISOString(),
      authority: 'dpo',
      reason: 'model',
      sourceOffset: offset(sourceOffset),
    };
    this.log.dispositions.push({ imageId: disposition.imageId, disposition });
    this.oracle.disposition(image, disposition);
  }
}

const HAPPENINGS: readonly (readonly [string, number, Happening])[] = [
  ['enrol', 40, (scene) => scene.enrol()],
  ['enrol-late', 8, (scene) => scene.enrolLate()],
  ['erase', 8, (scene) => scene.erase()],
  ['restrict', 5, (scene) => scene.restrict()],
  ['lift', 5, (scene) => scene.lift()],
  ['unusable', 5, (scene) => scene.enrolUnusable()],
  ['nobody', 1, (scene) => scene.enrolNobody()],
  ['remove-wrongly', 2, (scene) => scene.removeWrongly()],
  ['snapshot', 5, (scene) => scene.snapshot()],
  ['crash', 3, (scene) => scene.crash()],
  ['failed-snapshot', 1, (scene) => scene.failSnapshot()],
  ['compact', 2, (scene) => scene.compact()],
  ['rescale', 0.2, (scene) => scene.rescale(scene.pick([1, 2, 3]), scene.pick([1, 2]))],
];

function pickWeighted(
  happenings: readonly (readonly [string, number, Happening])[],
  random: () => number,
): readonly [string, Happening] {
  let at = random() * happenings.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight, happening] of happenings) {
    at -= weight;
    if (at < 0) return [name, happening];
  }
  throw new RangeError('random is from 0 to 1, exclusive');
}

/** In some file of the newest snapshot, if there is one. */
async function flipBit(folder: string, random: () => number): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const newest = Math.max(0, ...names.filter((name) => /^\d+$/.test(name)).map(Number));
  if (newest === 0) return;
  const files = (await readdir(join(folder, String(newest)))).sort();
  const path = join(folder, String(newest), files[Math.floor(random() * files.length)]!);
  const bytes = await readFile(path);
  if (bytes.length === 0) return;
  const at = Math.floor(random() * bytes.length);
  bytes[at]! ^= 1 << Math.floor(random() * 8);
  await writeFile(path, bytes);
}
