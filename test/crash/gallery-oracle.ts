/**
 * What the gallery must answer: a plain map of all that the broker has acknowledged, and a scan of it in double
 * precision. Shares no code with the engines.
 *
 * A reply says by partition how far its process has read, so what it must hold is known to the record: of each image
 * the template with the greatest source offset among those before that offset, unless an erasure covers it or a
 * restriction is in force. Dispositions come by a log of their own, and have two seconds to take effect: until then an
 * image may be found or not, and whatever the reply says of it counts as what it holds.
 */
import type { TemplateMetadata } from '#domain/gallery.js';

/** A template as it was acknowledged. */
export interface TemplateVersion {
  readonly metadata: TemplateMetadata;
  readonly sourceOffset: number;
  readonly vector: Float32Array;
  /** On the template topic; inclusive. */
  readonly logOffset: number;
  readonly ackedAtMs: number;
}

export interface Suppression {
  /** The greatest source offset that is erased, inclusive; -1 when none is. */
  readonly erasedThrough: number;
  readonly restricted: boolean;
}

interface SentSuppression extends Suppression {
  readonly sentAtMs: number;
  /** Infinity until it is acknowledged. */
  ackedAtMs: number;
}

interface ImageHistory {
  readonly partition: number;
  /** In the order of their acknowledgements. */
  readonly versions: TemplateVersion[];
  readonly suppressions: SentSuppression[];
  /** What the template topic has under its key, whoever wrote it, as long as a reply may reflect it. */
  readonly written: WrittenRecord[];
}

/** A record of the template topic, by what counts of it. */
export interface WrittenRecord {
  readonly imageId: string;
  readonly partition: number;
  /** Inclusive. */
  readonly logOffset: number;
  /** Undefined for a tombstone. */
  readonly sourceOffset: number | undefined;
}

/** How much of the logs a reply reflects. */
export interface Reflected {
  /** By template partition, exclusive. A partition that is not named is not covered. */
  readonly watermarks: ReadonlyMap<number, number>;
  /** Dispositions that were acknowledged before this time are in force, milliseconds since 1970. */
  readonly dispositionsCertainMs: number;
  /** Dispositions that were sent after this time are not. */
  readonly receivedAtMs: number;
}

/** What may be returned of an image; one element where it is certain, `undefined` for "nothing". */
export type Possible = readonly (TemplateVersion | undefined)[];

/** Records of one image while a replica is behind; each late one costs a repair by each replica that reads it. */
const WRITTEN_KEPT = 100;

export class GalleryOracle {
  private readonly images = new Map<string, ImageHistory>();
  private readonly byForce = new Map<string, Set<string>>();
  private readonly ends = new Map<number, number>();

  /** Of the template topic by partition, exclusive: every record below it was acknowledged. */
  get ackedEnds(): ReadonlyMap<number, number> {
    return this.ends;
  }

  recordAcked(partition: number, logOffset: number): void {
    this.ends.set(partition, Math.max(this.ends.get(partition) ?? 0, logOffset + 1));
  }

  templateAcked(partition: number, version: TemplateVersion): void {
    const { imageId, force = '' } = version.metadata;
    this.recordAcked(partition, version.logOffset);
    const image = this.image(imageId, partition);
    image.versions.push(version);
    const ofForce = this.byForce.get(force) ?? new Set();
    this.byForce.set(force, ofForce.add(imageId));
  }

  /** As the topic is read, in the order of its partitions. */
  recordWritten(record: WrittenRecord): void {
    const { written } = this.image(record.imageId, record.partition);
    written.push(record);
    if (written.length > WRITTEN_KEPT) written.shift();
  }

  /** The images whose last record in the log is not the one that a start from nothing must find. */
  overwritten(): readonly string[] {
    const reflected = { dispositionsCertainMs: Infinity, receivedAtMs: Infinity };
    return [...this.images].flatMap(([imageId, { versions, suppressions, written }]) => {
      const { erasedThrough } = suppressionsInForce(suppressions, reflected).at(-1)!;
      const winner = versionInForce(versions, { erasedThrough, restricted: false }, Infinity);
      return written.at(-1)?.sourceOffset === winner?.sourceOffset ? [] : [imageId];
    });
  }

  /** When it was acknowledged that none of the image may be found; Infinity when it may. Milliseconds since 1970. */
  suppressedSinceMs(imageId: string): number {
    const { suppressions = [], versions = [] } = this.images.get(imageId) ?? {};
    const last = suppressions.at(-1);
    if (last === undefined || versionInForce(versions, last, Infinity) !== undefined) return Infinity;
    return last.ackedAtMs;
  }

  /** @returns to be called when it is acknowledged, with that time */
  suppressionSent(
    imageId: string,
    partition: number,
    suppression: Suppression,
    sentAtMs: number,
  ): (ackedAtMs: number) => void {
    const sent: SentSuppression = { ...suppression, sentAtMs, ackedAtMs: Infinity };
    const { suppressions } = this.image(imageId, partition);
    suppressions.push(sent);
    return (ackedAtMs) => {
      sent.ackedAtMs = ackedAtMs;
    };
  }

  /** Images that have ever had a template. @param force undefined: all of them */
  imageIds(force?: string): Iterable<string> {
    return force === undefined ? this.images.keys() : (this.byForce.get(force) ?? []);
  }

  partitionOf(imageId: string): number | undefined {
    return this.images.get(imageId)?.partition;
  }

  possible(imageId: string, reflected: Reflected): Possible {
    const image = this.images.get(imageId);
    const watermark = image && reflected.watermarks.get(image.partition);
    if (image === undefined || watermark === undefined) return [undefined];
    const possible: (TemplateVersion | undefined)[] = [];
    for (const suppression of suppressionsInForce(image.suppressions, reflected)) {
      const winner = versionInForce(image.versions, suppression, watermark);
      if (!possible.includes(winner)) possible.push(winner);
      const last = image.written.findLast(({ logOffset }) => logOffset < watermark);
      if (winner === undefined || last === undefined || last.sourceOffset === winner.sourceOffset) continue;
      const late = image.versions.find(({ sourceOffset }) => sourceOffset === last.sourceOffset);
      const instead = late && versionInForce([late], suppression, Infinity);
      if (!possible.includes(instead)) possible.push(instead);
    }
    return possible;
  }

  /** What is known of an image, for people who look into a finding. */
  describe(imageId: string): string {
    const image = this.images.get(imageId);
    if (image === undefined) return 'never enrolled';
    const { partition, versions, suppressions, written } = image;
    const templates = versions.map(
      ({ sourceOffset, logOffset, ackedAtMs }) =>
        `${sourceOffset} at ${logOffset}, ${new Date(ackedAtMs).toISOString()}`,
    );
    const records = written.map(({ sourceOffset, logOffset }) => `${sourceOffset ?? 'null'} at ${logOffset}`);
    const states = suppressions.map(({ erasedThrough, restricted, ackedAtMs }) => {
      const at = Number.isFinite(ackedAtMs) ? new Date(ackedAtMs).toISOString() : 'unacknowledged';
      return `${restricted ? 'restricted' : 'not restricted'}, erased through ${erasedThrough}, ${at}`;
    });
    return `partition ${partition}; templates ${templates.join('; ')}; log ${records.join(', ')}; dispositions ${states.join('; ') || 'none'}`;
  }

  private image(imageId: string, partition: number): ImageHistory {
    let image = this.images.get(imageId);
    if (image === undefined)
      this.images.set(imageId, (image = { partition, versions: [], suppressions: [], written: [] }));
    return image;
  }
}

function suppressionsInForce(
  sent: readonly SentSuppression[],
  { dispositionsCertainMs, receivedAtMs }: Omit<Reflected, 'watermarks'>,
): readonly Suppression[] {
  const certain = sent.findLastIndex(({ ackedAtMs }) => ackedAtMs < dispositionsCertainMs);
  const later = sent.slice(certain + 1).filter(({ sentAtMs }) => sentAtMs <= receivedAtMs);
  return [certain === -1 ? { erasedThrough: -1, restricted: false } : sent[certain]!, ...later];
}

function versionInForce(
  versions: readonly TemplateVersion[],
  { erasedThrough, restricted }: Suppression,
  watermark: number,
): TemplateVersion | undefined {
  if (restricted) return undefined;
  let inForce: TemplateVersion | undefined;
  for (const version of versions) {
    if (version.logOffset >= watermark || version.sourceOffset <= erasedThrough) continue;
    if (inForce === undefined || version.sourceOffset > inForce.sourceOffset) inForce = version;
  }
  return inForce;
}

/**
 * The score as docs/gallery.md defines it: float32 products, added in double precision in four sums by index modulo 4.
 */
export function scoreOf(probe: Float32Array, vector: Float32Array): number {
  const sums: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < probe.length; i++) {
    const lane = (i < probe.length - (probe.length % 4) ? i % 4 : 0) as 0 | 1 | 2 | 3;
    sums[lane] += probe[i]! * vector[i]!;
  }
  return Math.min(1, Math.max(-1, sums[0] + sums[1] + (sums[2] + sums[3])));
}
