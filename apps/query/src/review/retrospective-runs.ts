/**
 * Runs the retrospective searches of the partitions that this replica owns: probe → face → gallery → answer, one at a
 * time, beside the decisions of other searches, which never wait for one.
 *
 * What is to be run follows from the events alone: a search that is RECEIVED or SEARCHING. So a run that was cut short,
 * here or in a replica that died, is begun again by whoever owns the partition then. Two owners may overlap for moments:
 * a run says something only of the search as it knew it, and one that came too late leaves the evidence hold as the
 * search wants it that stands.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditLog } from '#audit/audit-log.js';
import { CodedError, describeError, Failure, Refusal } from '#domain/errors.js';
import type { DescribedFace, UprightPicture } from '#domain/face.js';
import type { SearchId } from '#domain/ids.js';
import type { RetrospectiveEventBody } from '#domain/retrospective-events.js';
import type { RetrospectiveSearch } from '#domain/retrospective-search.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import type { FacePool } from '#face/face-pool.js';
import type { ProcessedFace } from '#face/face-protocol.js';
import { processFaceAgain } from '#face/same-face-again.js';
import type { ImageStore } from '#platform/image-store.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { addPastSpans, inKeptTrace, inPipelineSpan, inSpan, keepTrace, type KeptTrace } from '#platform/spans.js';
import type { CandidateWithdrawal } from './candidate-withdrawal.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { OpenSearchHold } from './open-search-hold.js';
import { keptProbe } from '../searches/kept-probe.js';
import type { ProbeSearch } from '../searches/probe-search.js';
import type { SearchAcceptance } from './search-acceptance.js';
import type { SearchPermits } from '../searches/search-permits.js';

/** Retrospective searches run beside each other, but leave the pipeline to an officer who waits in the street. */
const IN_FLIGHT_MAX = 1;
const RETRY_AFTER_MS_MIN = 200;
const RETRY_AFTER_MS_MAX = 10_000;
const PIPELINE_ATTEMPTS_MAX = 3;

/** What a run needs of the gallery that is in force when it begins. */
export interface RunGeneration {
  readonly faces: Pick<FacePool, 'process'>;
  readonly search: Pick<ProbeSearch, 'run' | 'observePipeline'>;
  readonly permits: Pick<SearchPermits, 'check'>;
}

interface Run {
  /** Aborted when the partition has another owner. */
  readonly signal: AbortSignal;
  readonly waitMs: number;
  /** Of who asked for it. */
  readonly trace: KeptTrace;
  readonly sinceMs: number;
}

export class RetrospectiveRuns {
  private readonly waiting = new Map<SearchId, Run>();
  private readonly running = new Map<SearchId, Promise<void>>();
  private closed = false;

  constructor(
    private readonly parts: {
      readonly generations: { readonly inForce: RunGeneration };
      readonly audit: AuditLog;
      readonly acceptance: SearchAcceptance;
      readonly withdrawal: CandidateWithdrawal;
      readonly holds: OpenSearchHold;
      readonly probes: ImageStore;
      readonly metrics: QueryMetrics;
      readonly log: Log;
    },
    private readonly withinMs: number,
  ) {}

  /** Runs the search when its turn comes, unless it needs no run then. */
  add(id: SearchId, signal: AbortSignal): void {
    this.enqueue(id, { signal, waitMs: RETRY_AFTER_MS_MIN, trace: keepTrace(), sinceMs: performance.now() });
  }

  /** Ends what is under way after its present step; the next owner goes on. */
  async close(): Promise<void> {
    this.closed = true;
    this.waiting.clear();
    await Promise.allSettled(this.running.values());
  }

  private enqueue(id: SearchId, run: Run): void {
    if (this.closed || run.signal.aborted) return;
    this.waiting.set(id, run);
    this.next();
  }

  private next(): void {
    this.parts.metrics.retrospectiveSearchesWaiting.set(this.waiting.size);
    if (this.running.size >= IN_FLIGHT_MAX) return;
    for (const [id, run] of this.waiting) {
      if (this.running.has(id)) continue;
      this.waiting.delete(id);
      if (run.signal.aborted) continue;
      const done = inKeptTrace(run.trace, 'run search', () => this.untilDone(id, run)).finally(() => {
        this.running.delete(id);
        this.next();
      });
      this.running.set(id, done);
      return;
    }
  }

  /** Never rejects: what can pass is tried again later, behind the others; what cannot is said in the search. */
  private async untilDone(id: SearchId, run: Run): Promise<void> {
    addPastSpans([['wait', performance.now() - run.sinceMs]]);
    try {
      await this.run(id, run.signal);
      const now = this.parts.acceptance.known(id);
      // Something was said of it meanwhile, and it waits for a run still.
      if (now !== undefined && isToRun(now)) this.enqueue(id, { ...run, sinceMs: performance.now() });
    } catch (error) {
      this.parts.log.warn('search-run-failed', { searchId: id, error: describeError(error) });
      const canPass = error instanceof Failure && error.retryable;
      if (!canPass && !run.signal.aborted && (await this.failed(id, error))) return;
      const waitMs = Math.min(run.waitMs * 2, RETRY_AFTER_MS_MAX);
      setTimeout(() => this.enqueue(id, { ...run, waitMs, sinceMs: performance.now() }), run.waitMs).unref();
    }
  }

  /** @returns whether it could be said; Kafka being away passes too */
  private async failed(id: SearchId, error: unknown): Promise<boolean> {
    const code = error instanceof CodedError ? error.code : 'INTERNAL';
    const detail = error instanceof CodedError ? error.publicText : 'The search could not be run here.';
    this.parts.metrics.searchesTotal.inc({ kind: 'retrospective', outcome: 'failed' });
    try {
      const search = this.parts.acceptance.known(id);
      if (search !== undefined) await this.step(search, { type: 'SEARCH_FAILED', by: QUERY_SOURCE, code, detail });
      return true;
    } catch (again) {
      this.parts.log.warn('failure-not-said', { searchId: id, error: describeError(again) });
      return again instanceof Refusal;
    }
  }

  private async run(id: SearchId, signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    const { acceptance, audit, metrics, probes, withdrawal } = this.parts;
    let search = acceptance.known(id);
    if (search === undefined || !isToRun(search)) return;
    // A search that has waited, for its turn or for somebody to choose a face, is of the gallery in force now.
    const generation = this.parts.generations.inForce;
    generation.permits.check('retrospective');
    const image = await keptProbe(probes, search);
    if (image === undefined) throw new Refusal('PROBE_GONE', 'The probe is no longer kept.');
    const probe = await this.processProbe(generation, search, image);
    if (probe === undefined) return;
    if (search.state === 'RECEIVED') search = await this.step(search, { type: 'SEARCH_STARTED', by: QUERY_SOURCE });
    if (search === undefined) return;
    const answer = await generation.search.run({
      searchId: id,
      kind: 'retrospective',
      probe,
      limit: search.request.limit,
      // An approximation must never be why a person was not found.
      mode: 'exact',
      filter: search.request.filter,
      withinMs: this.withinMs,
    });
    const type = !answer.complete
      ? 'SEARCH_PARTIAL'
      : answer.candidates.length > 0
        ? 'CANDIDATES_FOUND'
        : 'NO_CANDIDATES_FOUND';
    // The partition's new owner runs it again, or has.
    if (signal.aborted || acceptance.known(id)?.version !== search.version) return;
    const entry = answeredAudit(search, answer);
    await inSpan('audit', () => audit.append([entry]));
    // Before the candidates are on record: nobody may erase them in between.
    await this.hold(id, answer);
    const answered = await this.step(search, { type, by: QUERY_SOURCE, answer });
    if (answered === undefined) {
      const stands = acceptance.known(id);
      await this.hold(id, stands?.state === 'CLOSED' ? undefined : stands?.answer);
      return;
    }
    withdrawal.check(answered);
    metrics.observeSearch({ kind: 'retrospective', mode: answer.mode }, (performance.now() - startedAt) / 1000);
    metrics.searchesTotal.inc({
      kind: 'retrospective',
      outcome: answer.complete ? type.toLowerCase().replaceAll('_', '-') : 'partial',
    });
  }

  /** @returns undefined when the operator has to say which face is meant */
  private async processProbe(
    generation: RunGeneration,
    search: RetrospectiveSearch,
    image: Buffer,
  ): Promise<ProcessedFace | undefined> {
    try {
      const probe = await this.inPipeline(generation.faces, image, search);
      generation.search.observePipeline('retrospective', probe);
      return probe;
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== 'MULTIPLE_FACES') throw error;
      const { faces, picture } = error.details as unknown as FacesToChooseFrom;
      const needed = { type: 'FACE_CHOICE_NEEDED', by: QUERY_SOURCE, faces } as const;
      await this.step(search, { ...needed, ...(picture !== undefined && { picture }) });
      return undefined;
    }
  }

  /** A picture that fails the pipeline again and again must not hold up the searches behind it. */
  private async inPipeline(
    faces: RunGeneration['faces'],
    image: Buffer,
    search: RetrospectiveSearch,
  ): Promise<ProcessedFace> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await inPipelineSpan(() => chosenFace(faces, image, search));
      } catch (error) {
        if (!(error instanceof Failure) || !error.retryable || error.code === 'ENGINE_CLOSED') throw error;
        // Busy is nobody's fault and passes.
        if (error.code !== 'ENGINE_BUSY' && attempt >= PIPELINE_ATTEMPTS_MAX) {
          throw new Failure(error.code, error.publicText, false, { cause: error });
        }
        await pause(RETRY_AFTER_MS_MIN);
      }
    }
  }

  private hold(id: SearchId, answer: FoundAnswer | undefined): Promise<void> {
    const { holds } = this.parts;
    return answer !== undefined && answer.candidates.length > 0 ? holds.begin(id, answer) : holds.end(id);
  }

  /**
   * The next event of a run.
   *
   * @param of as the run knows it
   * @returns undefined when something else has happened to the search since
   */
  private async step(of: RetrospectiveSearch, next: RetrospectiveEventBody): Promise<RetrospectiveSearch | undefined> {
    const { search, accepted } = await this.parts.acceptance.accept(of.searchId, (now) => ({
      events: now?.version === of.version ? [next] : [],
    }));
    return accepted ? search : undefined;
  }
}

/**
 * Only a person says which of several faces is meant: a rule such as the largest is not followed. The face that somebody
 * chose is the one in that box, whatever index another model's detector gives it; where that finds none there, it is
 * asked for again.
 */
async function chosenFace(
  faces: RunGeneration['faces'],
  image: Buffer,
  { request, faces: offered }: RetrospectiveSearch,
): Promise<ProcessedFace> {
  const face = typeof request.face === 'number' ? request.face : undefined;
  const chosen = offered?.find(({ index }) => index === face);
  if (face === undefined || chosen === undefined) return faces.process(image, face);
  const again = await processFaceAgain(faces, image, { face, faceBox: chosen.box });
  if (again !== undefined) return again;
  await faces.process(image, undefined);
  throw new Refusal('FACE_NOT_FOUND_BY_MODEL', 'This model pack does not find the face that was chosen.');
}

/** Of MULTIPLE_FACES. */
interface FacesToChooseFrom {
  readonly faces: readonly DescribedFace[];
  readonly picture?: UprightPicture;
}

/** Whether the events say that the search waits for a run. */
export function isToRun({ state }: RetrospectiveSearch): boolean {
  return state === 'RECEIVED' || state === 'SEARCHING';
}

function answeredAudit(search: RetrospectiveSearch, answer: FoundAnswer): Parameters<AuditLog['append']>[0][number] {
  return {
    operation: 'combination',
    action: 'retrospective-search-answered',
    actor: search.operator,
    role: 'operator',
    purpose: search.request.offence,
    justification: search.request.justification,
    searchId: search.searchId,
    subjectIds: answer.candidates.map((candidate) => candidate.subjectId),
    imageIds: answer.candidates.map((candidate) => candidate.imageId),
    modelId: answer.gallery.modelId,
    thresholdVersion: answer.threshold.version,
    detail: { complete: answer.complete, mode: answer.mode },
  };
}
