/**
 * The collection of personal data on the audit record (Data Protection Act 2018, s.62): nothing of a custody image is
 * stored or published before an entry names it. One entry a slice of images, because one an image would cost more than
 * the image's own records.
 *
 * Flow: an image that was found fit to enrol joins the slice that is being gathered; the slice is appended when it is
 * full, when its time is over, or when nothing else is in the pipeline; then its images go on. An audit log that cannot
 * be written is waited for, and the images with it.
 *
 * An image that is delivered again after a crash is named again: the record's place, which is beside it in the entry,
 * says that it is the same collection.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { describeError, Failure } from '#domain/errors.js';
import type { ImageId, ModelId, SubjectId } from '#domain/ids.js';
import { backoffMs, pause } from '#kafka/backoff.js';
import type { Log } from '#platform/log.js';

/** Some 10 KB: an entry that names more is no longer read by anybody. */
const IMAGES_PER_ENTRY_MAX = 100;
/** Some thirty images at the rate of two cores; far below what an image waits in a bulk enrolment. A lone one never waits. */
const GATHER_MS = 500;

export interface CollectedImage {
  readonly imageId: ImageId;
  readonly subjectId: SubjectId;
  /** The system that sent it: the CloudEvents source. */
  readonly source: string;
  readonly lawfulBasis: string | undefined;
  /** Of the record on `custody.images`. */
  readonly partition: number;
  readonly offset: number;
}

interface Gathered {
  readonly image: CollectedImage;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What the entries say that is done with the images. */
type WhatIsDone = Pick<AuditStatement, 'operation' | 'action' | 'purpose'>;

const ENROLMENT: WhatIsDone = {
  operation: 'collection',
  action: 'images-enrolled',
  purpose: 'custody-image-enrolment',
};

export class CollectionAudit {
  private gathered: Gathered[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** Images whose entry is in the log and which are still under way: what is tried again is not named again. */
  private readonly named = new Set<string>();
  private readonly stopping = new AbortController();

  /** @param isMoreComing whether other images are in the pipeline, for which it is worth to wait */
  constructor(
    private readonly audit: Pick<AuditLog, 'append'>,
    private readonly modelId: ModelId,
    private readonly isMoreComing: () => boolean,
    private readonly log: Pick<Log, 'warn'>,
    private readonly whatIsDone: WhatIsDone = ENROLMENT,
  ) {}

  /**
   * Resolves when the entry that names the image is in the audit log, however long that takes.
   *
   * @throws Failure AUDIT_UNAVAILABLE after `close`, for what has no entry by then
   */
  async record(image: CollectedImage): Promise<void> {
    const place = placeOf(image);
    if (this.named.has(place)) return;
    await new Promise<void>((resolve, reject) => {
      this.gathered.push({ image, resolve, reject });
      if (this.gathered.length >= IMAGES_PER_ENTRY_MAX || !this.isMoreComing()) this.flush();
      else this.timer ??= setTimeout(() => this.flush(), GATHER_MS);
    });
    this.named.add(place);
  }

  /** The image is enrolled, or given up. */
  forget(image: Pick<CollectedImage, 'partition' | 'offset'>): void {
    this.named.delete(placeOf(image));
  }

  /** What is gathered is tried once more; what waits is refused, and its records are delivered again to whoever comes. */
  close(): void {
    this.flush();
    this.stopping.abort();
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const slice = this.gathered;
    this.gathered = [];
    if (slice.length > 0) void this.append(slice);
  }

  private async append(slice: readonly Gathered[]): Promise<void> {
    const statements = this.statementsOf(slice.map(({ image }) => image));
    for (let attempt = 1; !this.stopping.signal.aborted; attempt++) {
      try {
        await this.audit.append(statements);
        for (const { resolve } of slice) resolve();
        return;
      } catch (error) {
        this.log.warn('collection-waits-for-audit', { images: slice.length, attempt, error: describeError(error) });
        await pause(backoffMs(attempt), this.stopping.signal);
      }
    }
    const closed = new Failure('AUDIT_UNAVAILABLE', 'The audit log cannot be written, so nothing was enrolled.', true);
    for (const { reject } of slice) reject(closed);
  }

  /** One for each system and lawful basis, so that each is said of exactly the images that it holds for. */
  private statementsOf(images: readonly CollectedImage[]): AuditStatement[] {
    const alike = Map.groupBy(images, ({ source, lawfulBasis }) => JSON.stringify([source, lawfulBasis]));
    return [...alike.values()].map((group): AuditStatement => {
      const { source, lawfulBasis } = group[0]!;
      return {
        ...this.whatIsDone,
        actor: source,
        role: 'system',
        system: source,
        modelId: this.modelId,
        // Side by side: the subject, and the place of the record, of each image.
        imageIds: group.map(({ imageId }) => imageId),
        subjectIds: group.map(({ subjectId }) => subjectId),
        detail: {
          lawfulBasis: lawfulBasis ?? 'not stated',
          images: group.length,
          records: group.map(placeOf).join(' '),
        },
      };
    });
  }
}

function placeOf({ partition, offset }: Pick<CollectedImage, 'partition' | 'offset'>): string {
  return `${partition}/${offset}`;
}
