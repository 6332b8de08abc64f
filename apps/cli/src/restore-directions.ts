/**
 * `custody.directions` as it is restored: record for record, without what it says about logs, and about searches, that
 * are no more. Whoever carries directions out then begins anew with that.
 */
import { directionEnd, directionRecord, parseDirection } from '#contracts/direction-record.js';
import { erasureReceiptId, searchOfHold, type Direction, type ErasedImage, type Erasure } from '#domain/direction.js';
import { Refusal } from '#domain/errors.js';
import type { SearchId } from '#domain/ids.js';
import type { BackedUpRecord } from './backup-contents.js';

type Place = NonNullable<ErasedImage['source']>;

export class RestoredDirections {
  /** Of every image of an erasure that ingest has handled. */
  private readonly receipts = new Set<string>();
  private readonly endedHolds = new Set<string>();

  constructor(
    /** How records name whoever wrote them. */
    private readonly source: string,
    private readonly hasEvents: (id: SearchId) => boolean,
    /** Whether what stood here on `custody.images` comes back with the backup, if it was not handled. */
    private readonly isBackedUp: (place: Place) => boolean,
  ) {}

  /** Each record, before the first is restored. */
  read({ value }: BackedUpRecord): void {
    const direction = directionIn(value);
    if (direction?.kind === 'erasure-receipt') this.receipts.add(direction.directionId);
  }

  /** The record as it is restored. Those of one direction in the log's order. */
  restorable(record: BackedUpRecord): BackedUpRecord {
    const direction = directionIn(record.value);
    if (direction === undefined) {
      if (record.value === null && record.key !== null) this.endedHolds.delete(record.key.toString('utf8'));
      return record;
    }
    switch (direction.kind) {
      case 'erasure-destruction':
        // Its markers are places on logs that are no more: other records stand there now, or none ever will.
        return direction.completedAt === undefined ? this.rewritten(record, { ...direction, stores: [] }) : record;
      case 'erasure': {
        if (!this.lacksItsNulls(direction)) return record;
        const { images: _done, ...toBeDone } = direction;
        return this.rewritten(record, toBeDone);
      }
      case 'open-search': {
        // Nobody could close the search, and its candidates could never be erased.
        if (this.hasEvents(searchOfHold(direction))) return record;
        this.endedHolds.add(direction.directionId);
        const { value, headers } = directionEnd(direction.directionId, this.source);
        return { ...record, value, headers };
      }
      default:
        return record;
    }
  }

  /** Holds of searches that are lost. */
  get holdsEnded(): number {
    return this.endedHolds.size;
  }

  /** Ingest had not handled one when this was copied, and will not see it: nobody would give the receipt. */
  private lacksItsNulls({ directionId, images }: Erasure): boolean {
    return (images ?? []).some(
      ({ imageId, outcome, source }) =>
        outcome === 'erase' &&
        !this.receipts.has(erasureReceiptId(directionId, imageId)) &&
        (source === undefined || !this.isBackedUp(source)),
    );
  }

  private rewritten(record: BackedUpRecord, direction: Direction): BackedUpRecord {
    const { value, headers } = directionRecord(direction, this.source);
    return { ...record, value, headers };
  }
}

/** @returns undefined for an end, and for what the services cannot read either: it is restored as it is */
function directionIn(value: Buffer | null): Direction | undefined {
  if (value === null) return undefined;
  try {
    return parseDirection(value);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
