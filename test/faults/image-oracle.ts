/**
 * What must have become of every image: a fold of `custody.images` in the log's order, which alone decides. A face that
 * no later face and no later erasure of its image follows is enrolled, under its own offset; whatever is refused changes
 * nothing. Shares no code with ingest, index or query.
 */
import type { ImageId } from '#domain/ids.js';
import type { KafkaRecord, RecordPosition } from '#kafka/kafka-record.js';

export type FindingKind = 'lost' | 'resurrected' | 'order violation';

/** What is known of a record when it is sent. */
export type Sent = { readonly kind: 'face' } | { readonly kind: 'refused'; readonly code: string };

interface LoggedRecord {
  readonly imageId: string;
  readonly offset: number;
  readonly sent: Sent | { readonly kind: 'erasure' };
}

/** An outcome, by what counts of it. */
export interface ReadOutcome {
  readonly outcome: string;
  readonly code?: string;
}

/** What must be found of an image; undefined: nothing. */
export interface Expected {
  readonly offset: number;
}

export class ImageOracle {
  readonly findings: { readonly kind: FindingKind; readonly about: string; readonly text: string }[] = [];
  private readonly sent = new Map<string, Sent>();
  private readonly places = new Set<string>();
  /** By `partition/offset`. */
  private readonly logged = new Map<string, LoggedRecord>();
  private readonly byImage = new Map<string, LoggedRecord[]>();
  private readonly outcomes = new Map<string, ReadOutcome[]>();
  private readonly told = new Set<string>();
  /** Whose outcome is still to be seen. */
  private readonly open = new Set<string>();
  private waiting: (() => void)[] = [];

  drawn(reference: string, what: Sent): void {
    this.sent.set(reference, what);
  }

  /** The broker has said that it has the record. */
  acknowledged({ partition, offset }: RecordPosition): void {
    this.places.add(`${partition}/${offset}`);
  }

  /** As the log is read, in the order of its partitions. */
  recordLogged({ partition, offset, key, value, headers }: KafkaRecord): void {
    const reference = headers['ce_custodyref'] ?? '';
    const sent = value === null ? ({ kind: 'erasure' } as const) : this.sent.get(reference);
    // Log markers, and what is not the load's.
    if (sent === undefined || headers['ce_type'] === 'custody.log-marker.v1') return;
    const place = `${partition}/${offset}`;
    if (this.logged.has(place)) return;
    const record = { imageId: key!.toString('utf8'), offset, sent };
    this.logged.set(place, record);
    const ofImage = this.byImage.get(record.imageId) ?? [];
    ofImage.push(record);
    this.byImage.set(record.imageId, ofImage);
    if (!this.outcomes.has(place)) this.open.add(place);
  }

  outcomeRead(place: string, outcome: ReadOutcome): void {
    const all = this.outcomes.get(place) ?? [];
    all.push(outcome);
    this.outcomes.set(place, all);
    this.open.delete(place);
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  get records(): number {
    return this.logged.size;
  }

  /** Records whose outcome nobody has seen yet. */
  get unanswered(): number {
    return this.open.size;
  }

  /** Records by what became of them, each counted once. */
  get tally(): {
    readonly enrolled: number;
    readonly refused: number;
    readonly superseded: number;
    readonly erased: number;
  } {
    const counts = { enrolled: 0, refused: 0, superseded: 0, erased: 0 };
    for (const place of this.logged.keys()) {
      const kinds = new Set((this.outcomes.get(place) ?? []).map(({ outcome }) => outcome));
      const [kind] = (['enrolled', 'refused', 'erased', 'superseded'] as const).filter((one) => kinds.has(one));
      if (kind !== undefined) counts[kind]++;
    }
    return counts;
  }

  /** Resolves with its outcomes when the record has one; undefined when it is late. */
  async outcomeOf(
    { partition, offset }: RecordPosition,
    withinMs: number,
  ): Promise<readonly ReadOutcome[] | undefined> {
    const place = `${partition}/${offset}`;
    const deadlineMs = Date.now() + withinMs;
    while (!this.outcomes.has(place) && Date.now() < deadlineMs) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
        setTimeout(resolve, 200);
      });
    }
    return this.outcomes.get(place);
  }

  expectedOf(imageId: string): Expected | undefined {
    let expected: Expected | undefined;
    for (const { sent, offset } of this.byImage.get(imageId) ?? []) {
      if (sent.kind === 'face') expected = { offset };
      else if (sent.kind === 'erasure') expected = undefined;
    }
    return expected;
  }

  get imageIds(): Iterable<ImageId> {
    return this.byImage.keys() as Iterable<ImageId>;
  }

  /** Whether every record that was sent is in the log, and every record in the log has the one outcome that it may have. */
  judgeOutcomes(): void {
    for (const place of this.places) {
      if (!this.logged.has(place)) this.find('lost', place, 'acknowledged, and not in the log');
    }
    for (const [place, record] of this.logged) {
      const outcomes = this.outcomes.get(place);
      if (outcomes === undefined) {
        this.find('lost', `${record.imageId} at ${place}`, 'has no outcome');
        continue;
      }
      const wrong = outcomes.find((outcome) => !this.isPossible(record, outcome));
      if (wrong !== undefined) {
        const kind =
          record.sent.kind === 'face' && !['enrolled', 'superseded'].includes(wrong.outcome)
            ? 'lost'
            : 'order violation';
        this.find(kind, `${record.imageId} at ${place}`, `a ${record.sent.kind} became ${JSON.stringify(outcomes)}`);
      }
    }
  }

  /** What is found of an image, in one of the places that hold it. */
  judgeFound(where: string, imageId: string, found: Expected | undefined): boolean {
    const expected = this.expectedOf(imageId);
    if (expected?.offset === found?.offset) return true;
    const about = `${imageId} in ${where}`;
    const text = `expected ${expected?.offset ?? 'nothing'}, found ${found?.offset ?? 'nothing'}; ${this.describe(imageId)}`;
    if (found === undefined) this.find('lost', about, text);
    else this.find(expected === undefined ? 'resurrected' : 'order violation', about, text);
    return false;
  }

  isAsExpected(imageId: string, found: Expected | undefined): boolean {
    return this.expectedOf(imageId)?.offset === found?.offset;
  }

  find(kind: FindingKind, about: string, text: string): void {
    if (this.told.has(`${kind} ${about}`)) return;
    this.told.add(`${kind} ${about}`);
    this.findings.push({ kind, about, text });
  }

  private isPossible({ imageId, offset, sent }: LoggedRecord, { outcome, code }: ReadOutcome): boolean {
    const isFollowed = (kinds: readonly string[]): boolean =>
      this.byImage.get(imageId)!.some((later) => later.offset > offset && kinds.includes(later.sent.kind));
    switch (sent.kind) {
      case 'erasure':
        return outcome === 'erased';
      case 'face':
        return outcome === 'enrolled' || (outcome === 'superseded' && isFollowed(['face', 'erasure']));
      case 'refused':
        // Delivered again after what followed it: then it is not even looked at.
        if (outcome === 'superseded') return isFollowed(['face', 'erasure']);
        return outcome === 'refused' && code === sent.code;
    }
  }

  private describe(imageId: string): string {
    return (this.byImage.get(imageId) ?? [])
      .map(({ offset, sent }) => `${sent.kind} at ${offset}`)
      .slice(-6)
      .join(', ');
  }
}
