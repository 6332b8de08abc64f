/**
 * What custody systems send: faces, records that are refused, duplicates, and erasures, of few images, so that much
 * happens to each. Everything is drawn from the seed; what is drawn is told to the oracle, which reads the rest from
 * the log.
 */
import { custodyImageHeaders, erasureHeaders } from '#contracts/custody-image.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import type { ImageId, SubjectId } from '#domain/ids.js';
import type { RecordPosition } from '#kafka/kafka-record.js';
import type { Publisher } from '#kafka/publisher.js';
import type { AssertionSigner } from '#platform/identity.js';
import type { ImageOracle } from './image-oracle.js';

const SOURCE = '/custody-suite';
/** A search answers with 200 at most; each force's images are asked for at once. */
export const IMAGES_PER_FORCE = 100;

const SHARE_OF_FACES = 0.35;
const SHARE_OF_REFUSED = 0.35;
const SHARE_OF_ERASURES = 0.15;

export class ImageLoad {
  private readonly numbers = new Map<ImageId, number>();
  private readonly latest = new Map<ImageId, OutgoingRecord>();
  private readonly underWay = new Set<Promise<unknown>>();
  private drawn = 0;
  private running: Promise<void> | undefined;
  private stopping = false;

  constructor(
    private readonly publisher: Publisher,
    private readonly signer: AssertionSigner,
    private readonly oracle: ImageOracle,
    private readonly random: () => number,
    /** Small JPEGs, each with one face. */
    private readonly faces: readonly Buffer[],
  ) {}

  /** Sends so many records a second until `stop`, whether or not the broker takes them. */
  start(perSecond: number, images: number): void {
    this.stopping = false;
    this.running = (async () => {
      while (!this.stopping) {
        await this.sendSome(1, images);
        await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
      }
    })();
  }

  /** Resolves when everything that was sent is acknowledged. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    await Promise.all(this.underWay);
  }

  /** What custody systems might send next; not awaited. */
  async sendSome(records: number, images: number): Promise<void> {
    for (let i = 0; i < records; i++) {
      const id = this.imageId(Math.floor(this.random() * images));
      const chance = this.random();
      const before = this.latest.get(id);
      if (chance < SHARE_OF_FACES) void this.send(this.face(id));
      else if (chance < SHARE_OF_FACES + SHARE_OF_REFUSED) void this.send(this.refused(id));
      else if (chance < SHARE_OF_FACES + SHARE_OF_REFUSED + SHARE_OF_ERASURES) void this.send(await this.erasure(id));
      // Once more as it was; an erasure only while its assertion is good, which is not known here.
      else void this.send(before?.value ? before : this.face(id));
    }
  }

  /** Resolves with its place when the broker has it, whenever that is. */
  send(record: OutgoingRecord): Promise<RecordPosition> {
    this.latest.set(record.key as ImageId, record);
    // A copy: what is waited for in an outage must stay as it is.
    const sent = this.publisher.publish(record).then((position) => {
      this.oracle.acknowledged(position);
      return position;
    });
    const settled = sent.catch((error: unknown) => this.oracle.find('lost', 'the load', String(error)));
    this.underWay.add(settled);
    void settled.finally(() => this.underWay.delete(settled));
    return sent;
  }

  imageId(number: number, kind = 'image'): ImageId {
    const id = `${kind}-${number}` as ImageId;
    if (!this.numbers.has(id)) this.numbers.set(id, this.numbers.size);
    return id;
  }

  /** @param bytes instead of one of the faces */
  face(id: ImageId, bytes?: Buffer): OutgoingRecord {
    const reference = this.reference({ kind: 'face' });
    const picked = bytes ?? this.faces[Math.floor(this.random() * this.faces.length)]!;
    const headers = custodyImageHeaders(
      {
        imageId: id,
        subjectId: `subject-of-${id}` as SubjectId,
        force: this.forceOf(id),
        custodyReference: reference,
        face: 'largest',
      },
      SOURCE,
      'image/jpeg',
    );
    return { topic: CUSTODY_IMAGES, key: id, value: picked, headers };
  }

  refused(id: ImageId): OutgoingRecord {
    const bytes = Buffer.from('This is not a photograph, whatever its headers say.');
    if (this.random() < 0.5) {
      const { headers } = this.face(id);
      const custodyReference = this.reference({ kind: 'refused', code: 'IMAGE_FORMAT_UNSUPPORTED' });
      return { topic: CUSTODY_IMAGES, key: id, value: bytes, headers: { ...headers, ce_custodyref: custodyReference } };
    }
    const custodyReference = this.reference({ kind: 'refused', code: 'HEADER_MISSING' });
    const { ce_subjectid: _, ...headers } = this.face(id).headers!;
    return { topic: CUSTODY_IMAGES, key: id, value: bytes, headers: { ...headers, ce_custodyref: custodyReference } };
  }

  async erasure(id: ImageId): Promise<OutgoingRecord> {
    const assertion = await this.signer.sign({
      purpose: 'erasure',
      subject: 'dpo-1',
      role: 'data-protection',
      imageId: id,
      authority: 'DPA 2018 s.47',
      reason: 'The request of the person was upheld',
    });
    return { topic: CUSTODY_IMAGES, key: id, value: null, headers: erasureHeaders(id, SOURCE, assertion) };
  }

  /** Those that any record was sent of, by force. */
  imagesByForce(): ReadonlyMap<string, readonly ImageId[]> {
    return Map.groupBy(this.numbers.keys(), (id) => this.forceOf(id));
  }

  private forceOf(id: ImageId): string {
    return `force-${Math.floor(this.numbers.get(id)! / IMAGES_PER_FORCE)}`;
  }

  private reference(expected: Parameters<ImageOracle['drawn']>[1]): string {
    const reference = `sent-${++this.drawn}`;
    this.oracle.drawn(reference, expected);
    return reference;
  }
}
