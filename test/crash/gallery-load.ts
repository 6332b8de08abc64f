/**
 * What ingest and the data-protection staff put on the log all day: enrolments and images sent again, erasures,
 * restrictions given and lifted, and templates that come late, from an ingest that was paused while the world went on.
 * Records are built as the services build them and published in their order: the next one of an image when the one
 * before is acknowledged, the disposition of an erasure before its tombstone. Late ones keep to no order.
 *
 * A rush and a lull take turns, so that a kill falls into either.
 */
import { dispositionRecord } from '#contracts/disposition-record.js';
import { partitionFor } from '#contracts/murmur2.js';
import { encodeTemplate, templateHeaders, templateTombstoneHeaders } from '#contracts/template-record.js';
import { galleryTemplates } from '#contracts/topics.js';
import { erasedThrough, mergeDisposition, type Disposition } from '#domain/disposition.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import { imageId, offset, subjectId, type ImageId, type ModelId, type SubjectId } from '#domain/ids.js';
import { faceLikeVector, variantOf } from '#gallery/vectors-for-tests.js';
import type { Publisher } from '#kafka/publisher.js';
import type { GalleryOracle } from './gallery-oracle.js';

/** Each holds so few images of any worker that one search returns all of them. */
export const FORCES = 32;
const IMAGES_PER_SUBJECT_MAX = 4;
const RUSH_PER_SECOND = 120;
const RUSH_MS_MAX = 4_000;
/** Beyond two seconds of quiet a shard builds its graph. */
const LULL_MS_MAX = 6_000;
const TICK_MS = 20;
/** How far two images of a person are apart: their cosine is about .8. */
const VARIATION = 0.75;
const SOURCE = '/custody-face-search/ingest';

interface Version {
  readonly sourceOffset: number;
  readonly vector: Float32Array;
  readonly custodyReference: string;
}

interface Image {
  readonly id: ImageId;
  readonly partition: number;
  readonly subject: Subject;
  readonly force: string;
  version: Version | undefined;
  /** What a paused ingest may still publish. */
  late: Version | undefined;
  disposition: Disposition | undefined;
  busy: boolean;
}

interface Subject {
  readonly id: SubjectId;
  readonly number: number;
  readonly face: Float32Array;
  images: number;
}

export class GalleryLoad {
  private readonly images: Image[] = [];
  private readonly subjects: Subject[] = [];
  private readonly sourceOffsets = new Int32Array(TEMPLATE_PARTITIONS);
  private readonly underWay = new Set<Promise<void>>();
  private readonly topic: string;
  private timer: NodeJS.Timeout | undefined;
  private lastWriteMs = 0;
  private failure: Error | undefined;
  private held = 0;
  private directions = 0;
  private isRush = false;
  private turnsAtMs = 0;
  private owed = 0;
  /** Operations that were acknowledged, by name. */
  readonly counts: Record<string, number> = {};

  /** @param target images that the gallery is held at */
  constructor(
    private readonly publisher: Publisher,
    private readonly model: { readonly modelId: ModelId; readonly dimension: number },
    private readonly oracle: GalleryOracle,
    private readonly random: () => number,
    private readonly target: number,
    /**
     * Whether somebody is there to put right what a late record overwrites. When nobody is for as long as compaction
     * takes, the newer template is in no log any more, and what nobody has read nobody can restore.
     */
    private readonly mayBeLate: () => boolean,
  ) {
    this.topic = galleryTemplates(model.modelId);
  }

  /** Enrols what the gallery begins with. */
  async enrolTarget(): Promise<void> {
    for (let i = 0; i < this.target; i++) this.begin('enrol', this.newImage());
    await this.settled();
  }

  start(): void {
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.settled();
  }

  /** Resolves when all that was sent by now is acknowledged, and the oracle knows of it. */
  async settled(): Promise<void> {
    await Promise.all(this.underWay);
    if (this.failure !== undefined) throw this.failure;
  }

  /** Whether a record was on its way to the index at this time, or had just arrived. */
  wroteWithin(ms: number): boolean {
    return Date.now() - this.lastWriteMs < ms;
  }

  /** Near an image of the gallery, or of nobody. Float32Array of the model's dimension, of norm 1. */
  probe(): Float32Array {
    const image = this.random() < 0.8 ? this.pick(isEnrolled, true) : undefined;
    if (image === undefined) return faceLikeVector(this.random, this.model.dimension);
    return variantOf(image.version!.vector, this.random, VARIATION / 2);
  }

  private tick(): void {
    const nowMs = Date.now();
    if (nowMs > this.turnsAtMs) {
      this.isRush = !this.isRush;
      this.turnsAtMs = nowMs + this.random() * (this.isRush ? RUSH_MS_MAX : LULL_MS_MAX);
    }
    if (this.isRush) this.owed += (RUSH_PER_SECOND * TICK_MS) / 1000;
    for (; this.owed >= 1; this.owed--) this.beginOne();
  }

  private beginOne(): void {
    const chance = this.random();
    if (chance < 0.25) this.beginEnrolOr('erase', this.held <= this.target);
    else if (chance < 0.5) this.beginPicked('enrolAgain', isEnrolled);
    else if (chance < 0.7) this.beginEnrolOr('erase', this.held < this.target * 0.95);
    else if (chance < 0.8) this.beginPicked('restrict', (image) => isEnrolled(image) && !isRestricted(image));
    else if (chance < 0.9) this.beginPicked('lift', isRestricted);
    else if (this.mayBeLate()) this.beginPicked('late', ({ late }) => late !== undefined);
  }

  /** Some of those enrolled were erased before. */
  private beginEnrolOr(other: Operation, enrol: boolean): void {
    if (!enrol) return this.beginPicked(other, isEnrolled);
    const again = this.random() < 0.3 ? this.pick((image) => !isEnrolled(image)) : undefined;
    this.begin('enrol', again ?? this.newImage());
  }

  private beginPicked(operation: Operation, suits: (image: Image) => boolean): void {
    const image = this.pick(suits, operation === 'late');
    if (image !== undefined) this.begin(operation, image);
  }

  private pick(suits: (image: Image) => boolean, evenBusy = false): Image | undefined {
    for (let attempt = 0; attempt < 30 && this.images.length > 0; attempt++) {
      const image = this.images[Math.floor(this.random() * this.images.length)]!;
      if ((evenBusy || !image.busy) && suits(image)) return image;
    }
    return undefined;
  }

  private begin(operation: Operation, image: Image): void {
    if (operation !== 'late') image.busy = true;
    this.lastWriteMs = Date.now();
    const done = this.carryOut(operation, image)
      .then(
        () => {
          this.counts[operation] = (this.counts[operation] ?? 0) + 1;
        },
        (error: Error) => {
          this.failure ??= error;
        },
      )
      .finally(() => {
        if (operation !== 'late') image.busy = false;
        this.underWay.delete(done);
      });
    this.underWay.add(done);
  }

  private carryOut(operation: Operation, image: Image): Promise<void> {
    switch (operation) {
      case 'enrol':
      case 'enrolAgain':
        return this.enrol(image);
      case 'erase':
        return this.erase(image);
      case 'restrict':
        return this.publishDisposition(image, this.disposition(image, 'restricted'));
      case 'lift':
        return this.publishDisposition(image, null);
      case 'late':
        return this.publishTemplate(image, image.late!);
    }
  }

  private async enrol(image: Image): Promise<void> {
    const sourceOffset = this.nextSourceOffset(image);
    const version = {
      sourceOffset,
      vector: variantOf(image.subject.face, this.random, VARIATION),
      custodyReference: `C/${image.partition}/${sourceOffset}`,
    };
    await this.publishTemplate(image, version);
    if (image.version === undefined) this.held++;
    else image.late = image.version;
    image.version = version;
  }

  private async erase(image: Image): Promise<void> {
    const { version } = image;
    await this.publishDisposition(image, this.disposition(image, 'erased'));
    this.lastWriteMs = Date.now();
    const { partition, offset: at } = await this.publisher.publish({
      topic: this.topic,
      key: image.id,
      value: null,
      headers: templateTombstoneHeaders(image.id, SOURCE),
    });
    this.oracle.recordAcked(partition, at);
    this.held--;
    image.version = undefined;
    image.late = version;
  }

  private async publishTemplate(image: Image, { sourceOffset, vector, custodyReference }: Version): Promise<void> {
    const metadata = { imageId: image.id, subjectId: image.subject.id, force: image.force, custodyReference };
    const source = { sourceOffset: offset(sourceOffset), acceptedAtMs: Date.now() };
    const { partition, offset: logOffset } = await this.publisher.publish({
      topic: this.topic,
      key: image.id,
      value: encodeTemplate(vector),
      headers: templateHeaders({ modelId: this.model.modelId, metadata, source }, SOURCE),
    });
    this.oracle.templateAcked(partition, { metadata, sourceOffset, vector, logOffset, ackedAtMs: Date.now() });
  }

  /** @param next null lifts what is in force, but never an erasure */
  private async publishDisposition(image: Image, next: Disposition | null): Promise<void> {
    const merged = mergeDisposition(image.disposition, next);
    const acked = this.oracle.suppressionSent(
      image.id,
      image.partition,
      { erasedThrough: erasedThrough(merged) ?? -1, restricted: merged?.kind === 'restricted' },
      Date.now(),
    );
    // What lifts is a null, and after it the bound of an erasure, which no null lifts.
    const lifts = image.disposition?.directionId;
    const bound = merged === undefined ? [] : [{ ...merged, ...(lifts !== undefined && { lifts }) }];
    const written = next === null ? [null, ...bound] : [merged!];
    for (const disposition of written) await this.publisher.publish(dispositionRecord(image.id, disposition, SOURCE));
    acked(Date.now());
    image.disposition = merged;
  }

  private disposition(image: Image, kind: 'restricted' | 'erased'): Disposition {
    return {
      imageId: image.id,
      kind,
      since: new Date().toISOString(),
      authority: 'data-protection',
      reason: 'a kill at any moment',
      ...(kind === 'restricted' && { directionId: `direction-${this.directions++}` }),
      sourceOffset: offset(this.nextSourceOffset(image)),
    };
  }

  private nextSourceOffset({ partition }: Image): number {
    const next = this.sourceOffsets[partition]!;
    this.sourceOffsets[partition] = next + 1;
    return next;
  }

  private newImage(): Image {
    const subject = this.subjectForImage();
    const id = imageId(`image-${this.images.length}`);
    const image: Image = {
      id,
      partition: partitionFor(Buffer.from(id), TEMPLATE_PARTITIONS),
      subject,
      // Images of a subject are of different forces, so that a search of each force returns every image.
      force: `force-${(subject.number + subject.images * (FORCES / IMAGES_PER_SUBJECT_MAX)) % FORCES}`,
      version: undefined,
      late: undefined,
      disposition: undefined,
      busy: false,
    };
    subject.images++;
    this.images.push(image);
    return image;
  }

  private subjectForImage(): Subject {
    const known = this.subjects[Math.floor(this.random() * this.subjects.length)];
    if (known !== undefined && known.images < IMAGES_PER_SUBJECT_MAX && this.random() < 0.5) return known;
    const number = this.subjects.length;
    const face = faceLikeVector(this.random, this.model.dimension);
    const subject = { id: subjectId(`subject-${number}`), number, face, images: 0 };
    this.subjects.push(subject);
    return subject;
  }
}

function isEnrolled({ version }: Image): boolean {
  return version !== undefined;
}

function isRestricted({ disposition }: Image): boolean {
  return disposition?.kind === 'restricted';
}

type Operation = 'enrol' | 'enrolAgain' | 'erase' | 'restrict' | 'lift' | 'late';
