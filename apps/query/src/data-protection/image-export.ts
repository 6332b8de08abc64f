/**
 * What became of every image, for whoever reconciles with a custody system: each image once, first those that are held,
 * by imageId, then those that are not. From the register, the dispositions and `custody.outcomes`, as they are when they
 * are read; a file beside the register holds what the last two say, so that memory does not grow with the gallery.
 */
import { rmSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditLog } from '#audit/audit-log.js';
import { formatImageExportLine, type ExportedImage, type ImageExportLine } from '#contracts/image-export.js';
import { partitionFor } from '#contracts/murmur2.js';
import { parseOutcome } from '#contracts/outcome-record.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES } from '#contracts/topics.js';
import { erasedThrough, isSuppressed } from '#domain/disposition.js';
import { CodedError, describeError, Failure } from '#domain/errors.js';
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, ModelId, Offset } from '#domain/ids.js';
import type { ImageOutcome } from '#domain/image-outcome.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { KafkaRecord } from '#kafka/kafka-record.js';
import { readToEnd } from '#kafka/read-to-end.js';
import type { Log } from '#platform/log.js';
import type { LineSink } from '../line-sink.js';
import type { GalleryRegister } from './gallery-register.js';

export interface ImageExportParts {
  readonly kafka: KafkaClient;
  readonly audit: AuditLog;
  readonly register: Pick<GalleryRegister, 'readToEnd' | 'page' | 'image'>;
  readonly dispositions: Pick<DispositionFollower, 'get' | 'all'>;
  readonly directions: Pick<DirectionFollower, 'suppressionOf'>;
  readonly modelId: ModelId;
  /** Written while an export runs, and removed at its end. */
  readonly file: string;
  readonly log: Log;
}

/** Rows between which others have their turn: a few milliseconds. */
const SLICE_ROWS = 250;
/** Which commits how far `custody.images` has been handled. */
const INGEST_GROUP = 'custody-ingest';

const SCHEMA = `
  PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
  CREATE TABLE judged (
    image_id TEXT PRIMARY KEY, partition INTEGER NOT NULL, offset INTEGER NOT NULL, state TEXT NOT NULL, code TEXT,
    at TEXT NOT NULL
  ) WITHOUT ROWID;
`;

type Unheld = Pick<ExportedImage, 'imageId' | 'code' | 'at' | 'source'> & {
  readonly state: 'refused' | 'failed' | 'erased';
};

export class ImageExport {
  private running = false;

  constructor(private readonly parts: ImageExportParts) {}

  /**
   * Before the first line; {@link write} follows.
   *
   * @throws Failure EXPORT_RUNNING, AUDIT_UNAVAILABLE
   */
  async begin(actor: Actor): Promise<void> {
    if (this.running) throw new Failure('EXPORT_RUNNING', 'Another export is being written by this replica.', true);
    this.running = true;
    try {
      await this.parts.audit.append([
        {
          operation: 'disclosure',
          action: 'images-exported',
          actor: actor.id,
          role: 'data-protection',
          purpose: 'reconciliation',
          recipients: [actor.id],
          modelId: this.parts.modelId,
        },
      ]);
    } catch (error) {
      this.running = false;
      throw error;
    }
  }

  /** @throws Failure VIEW_BEHIND, KAFKA_UNAVAILABLE; what the sink rejects with */
  async write(sink: LineSink): Promise<void> {
    const { file } = this.parts;
    try {
      rmSync(file, { force: true });
      const judged = new JudgedImages(file);
      try {
        await this.writeLines(sink, judged);
      } finally {
        judged.close();
      }
    } finally {
      // First: whatever a failing disk makes of the rest, the next export must not wait for this one.
      this.running = false;
      rmSync(file, { force: true });
    }
  }

  private async writeLines(sink: LineSink, judged: JudgedImages): Promise<void> {
    const { modelId, register } = this.parts;
    const send = (lines: readonly ImageExportLine[]): Promise<void> =>
      lines.length === 0 ? nextTurn() : sink(lines.map(formatImageExportLine).join(''));
    const exportedAt = new Date().toISOString();
    const imagesWaiting = await this.countWaiting();
    const outcomesSince = await this.readOutcomes(judged);
    // What ingest has said to be enrolled by now is in the log that the register reads.
    await register.readToEnd();
    await this.readErasures(judged);
    await send([{ kind: 'image-export', version: 1, exportedAt, modelId, outcomesSince, imagesWaiting }]);
    let images = 0;
    for (let after: ImageId | undefined, first = true; first || after !== undefined; first = false) {
      const page = register.page(after, SLICE_ROWS);
      await send(page.images.map((image) => this.heldLine(image, judged.take(image.imageId))));
      images += page.images.length;
      after = page.next;
    }
    for (let after: ImageId | undefined, first = true; first || after !== undefined; first = false) {
      const page = judged.page(after, SLICE_ROWS);
      // One that has been enrolled since is told of in the next export.
      const lines = page.images.filter(({ imageId }) => register.image(imageId) === undefined);
      await send(lines.map((image) => ({ kind: 'image', ...image })));
      images += lines.length;
      after = page.next;
    }
    await send([{ kind: 'end', images }]);
  }

  private heldLine(image: HeldImage, last: Unheld | undefined): ExportedImage {
    const { imageId, subjectId, force, custodyReference, capturedAt, lawfulBasis, reviewDue, sourceOffset } = image;
    const isLater = last !== undefined && last.state !== 'erased' && last.source.offset > sourceOffset;
    return {
      kind: 'image',
      imageId,
      ...this.stateOf(image),
      source: placeOf(imageId, sourceOffset),
      subjectId,
      ...(force !== undefined && { force }),
      ...(custodyReference !== undefined && { custodyReference }),
      ...(capturedAt !== undefined && { capturedAt }),
      ...(lawfulBasis !== undefined && { lawfulBasis }),
      ...(reviewDue !== undefined && { reviewDue }),
      ...(isLater && {
        later: { state: last.state, code: last.code ?? '', at: last.at, source: last.source },
      }),
    };
  }

  /** As a search sees it: a direction counts before the disposition that follows from it. */
  private stateOf({ imageId, subjectId, sourceOffset, acceptedAt }: HeldImage): Pick<ExportedImage, 'state' | 'at'> {
    const directed = this.parts.directions.suppressionOf(imageId, subjectId);
    if (directed !== undefined)
      return { state: directed.kind === 'retirement' ? 'retired' : 'restricted', at: directed.at };
    const disposition = this.parts.dispositions.get(imageId);
    if (disposition === undefined || !isSuppressed(disposition, sourceOffset))
      return { state: 'enrolled', at: acceptedAt };
    return { state: disposition.kind === 'retired' ? 'retired' : 'restricted', at: disposition.since };
  }

  /** @returns when the first outcome that is kept was given */
  private async readOutcomes(judged: JudgedImages): Promise<string | null> {
    let since: string | null = null;
    const partitions = Array.from({ length: TEMPLATE_PARTITIONS }, (_, partition) => partition);
    await readToEnd(this.parts.kafka, CUSTODY_OUTCOMES, partitions, (record) => {
      const outcome = this.outcomeOf(record);
      if (outcome === undefined) return;
      if (since === null || outcome.at < since) since = outcome.at;
      const { imageId, at, source } = outcome;
      if (outcome.outcome === 'refused' || outcome.outcome === 'failed') {
        judged.put({ imageId, at, source, state: outcome.outcome, code: outcome.code });
      }
    });
    return since;
  }

  private outcomeOf({ value, partition, offset }: KafkaRecord): ImageOutcome | undefined {
    try {
      return parseOutcome(value);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.parts.log.warn('outcome-unreadable', { partition, offset, error: describeError(error) });
      return undefined;
    }
  }

  /** Of what was erased, whatever came before is gone; what was refused since was refused. */
  private async readErasures(judged: JudgedImages): Promise<void> {
    let rows = 0;
    for (const disposition of this.parts.dispositions.all()) {
      const { imageId, since: at } = disposition;
      const through = erasedThrough(disposition);
      if (through === undefined) continue;
      judged.put({ imageId, at, source: placeOf(imageId, through), state: 'erased' });
      if (++rows % SLICE_ROWS === 0) await nextTurn();
    }
  }

  private async countWaiting(): Promise<number | null> {
    const admin = this.parts.kafka.topicAdmin();
    try {
      const [ends, handled] = await Promise.all([
        admin.topicOffsets(CUSTODY_IMAGES),
        admin.groupOffsets(INGEST_GROUP, CUSTODY_IMAGES),
      ]);
      let waiting = 0;
      for (const [partition, { low, high }] of ends) waiting += high - Math.max(low, handled.get(partition) ?? low);
      return waiting;
    } catch (error) {
      this.parts.log.warn('images-waiting-unknown', { error: describeError(error) });
      return null;
    }
  }
}

/** What is known of images that may not be held: of each, the latest. */
class JudgedImages {
  private readonly db: DatabaseSync;
  private readonly upsert: StatementSync;
  private readonly remove: StatementSync;

  constructor(file: string) {
    this.db = new DatabaseSync(file);
    this.db.exec(`${SCHEMA} BEGIN;`);
    this.upsert = this.db.prepare(
      `INSERT INTO judged VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (image_id) DO UPDATE
         SET partition = excluded.partition, offset = excluded.offset, state = excluded.state, code = excluded.code,
             at = excluded.at
         WHERE excluded.offset >= judged.offset`,
    );
    this.remove = this.db.prepare('DELETE FROM judged WHERE image_id = ? RETURNING *');
  }

  put({ imageId, source, state, code, at }: Unheld): void {
    this.upsert.run(imageId, source.partition, source.offset, state, code ?? null, at);
  }

  take(imageId: ImageId): Unheld | undefined {
    const row = this.remove.get(imageId);
    return row === undefined ? undefined : unheldOf(row);
  }

  /** By imageId. @param after exclusive */
  page(
    after: ImageId | undefined,
    limit: number,
  ): { readonly images: readonly Unheld[]; readonly next: ImageId | undefined } {
    const rows = this.db
      .prepare('SELECT * FROM judged WHERE image_id > ? ORDER BY image_id LIMIT ?')
      .all(after ?? '', limit);
    return {
      images: rows.map(unheldOf),
      next: rows.length < limit ? undefined : (rows.at(-1)!['image_id'] as ImageId),
    };
  }

  close(): void {
    this.db.close();
  }
}

function unheldOf(row: Record<string, unknown>): Unheld {
  const code = row['code'] as string | null;
  return {
    imageId: row['image_id'] as ImageId,
    state: row['state'] as Unheld['state'],
    ...(code !== null && { code }),
    at: row['at'] as string,
    source: { partition: row['partition'] as number, offset: row['offset'] as Offset },
  };
}

function placeOf(imageId: ImageId, offset: Offset): ExportedImage['source'] {
  return { partition: partitionFor(imageId, TEMPLATE_PARTITIONS), offset };
}
