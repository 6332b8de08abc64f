/**
 * How facial recognition is used, by kind of search, ground and month, fit to be published: counts alone, and of a row
 * in which a count is so small that it may be one known person, no details.
 */
import type { OperatorSearchRecord } from './operator-search.js';
import type { RetrospectiveSearch } from './retrospective-search.js';
import type { SearchKind } from './search-answer.js';

/** What came of an operator-initiated search, as the officer recorded it. */
export const OPERATOR_USE_OUTCOMES = ['confirmed', 'none', 'missing'] as const;
/** How a retrospective search ended; `open`: not yet. */
export const RETROSPECTIVE_USE_OUTCOMES = [
  'suspect-added',
  'rejected',
  'no-match',
  'inconclusive',
  'no-candidates',
  'failed',
  'open',
] as const;
export type UseOutcome = (typeof OPERATOR_USE_OUTCOMES)[number] | (typeof RETROSPECTIVE_USE_OUTCOMES)[number];

export interface SearchUse {
  readonly kind: SearchKind;
  /** Of an operator-initiated search its grounds; of a retrospective one where the probe came from. */
  readonly ground: string;
  /** When it was received, UTC: `2026-01`. */
  readonly month: string;
  /** Somebody was at or above the threshold. */
  readonly hit: boolean;
  readonly outcome: UseOutcome;
  /** Somebody was put forward who was not the person: shown to an officer and not confirmed, or rejected in review. */
  readonly wrongLead: boolean;
}

export function useOfOperatorSearch({ at, grounds, answer, outcome }: OperatorSearchRecord): SearchUse {
  const hit = answer.candidates.length > 0;
  const said = outcome === null ? 'missing' : outcome.rank === null ? 'none' : 'confirmed';
  return {
    kind: 'operator',
    ground: grounds,
    month: monthOf(at),
    hit,
    outcome: said,
    wrongLead: hit && said === 'none',
  };
}

export function useOfRetrospectiveSearch(search: RetrospectiveSearch): SearchUse {
  return {
    kind: 'retrospective',
    ground: search.request.source,
    month: monthOf(search.receivedAt),
    hit: search.answer?.candidates.some(({ aboveThreshold }) => aboveThreshold) ?? false,
    outcome: endingOf(search),
    wrongLead: search.decisions.some(({ stage, outcome }) => stage === 'officer' && outcome === 'reject'),
  };
}

function endingOf(search: RetrospectiveSearch): UseOutcome {
  switch (search.state) {
    case 'NO_CANDIDATES':
      return 'no-candidates';
    case 'FAILED':
      return 'failed';
    case 'NO_MATCH':
    case 'INCONCLUSIVE':
    case 'REJECTED':
    case 'SUSPECT_ADDED':
    case 'CLOSED':
      return lastWord(search);
    default:
      return 'open';
  }
}

/** Of a search that has ended. */
function lastWord({ decisions, answer, failure }: RetrospectiveSearch): UseOutcome {
  const last = decisions.at(-1);
  switch (last?.outcome) {
    case 'add-suspect':
      return 'suspect-added';
    case 'reject':
      return 'rejected';
    case 'no-match':
    case 'inconclusive':
      return last.outcome;
    // Agreed, or put forward: it ended without the officer's word only when it was closed before anything was found.
    case 'agree':
    case 'possible-match':
    case undefined:
      return failure !== undefined || answer === undefined ? 'failed' : 'no-candidates';
  }
}

function monthOf(instant: string): string {
  return new Date(instant).toISOString().slice(0, 'yyyy-mm'.length);
}

export interface UsageRow {
  readonly month: string;
  readonly kind: SearchKind;
  readonly ground: string;
  /** null: withheld. So with every count below. */
  readonly searches: number | null;
  readonly hits: number | null;
  readonly wrongLeads: number | null;
  /** By {@link UseOutcome} of this kind. */
  readonly outcomes: Readonly<Record<string, number | null>>;
}

export interface UsageReport {
  /** ISO 8601. */
  readonly generatedAt: string;
  /** ISO 8601 UTC, inclusive; null: from the first search that is kept. */
  readonly from: string | null;
  /** Exclusive; null: to now. */
  readonly to: string | null;
  readonly suppressBelow: number;
  readonly rows: readonly UsageRow[];
  /** What the counts are, and are not. */
  readonly notes: readonly string[];
}

interface Counts {
  searches: number;
  hits: number;
  wrongLeads: number;
  readonly outcomes: Map<UseOutcome, number>;
}

export class UsageTally {
  private readonly counts = new Map<string, { readonly of: SearchUse; readonly counts: Counts }>();

  add(use: SearchUse): void {
    const key = `${use.month} ${use.kind} ${use.ground}`;
    const { counts } = this.counts.get(key) ?? {
      counts: { searches: 0, hits: 0, wrongLeads: 0, outcomes: new Map<UseOutcome, number>() },
    };
    this.counts.set(key, { of: use, counts });
    counts.searches++;
    if (use.hit) counts.hits++;
    if (use.wrongLead) counts.wrongLeads++;
    counts.outcomes.set(use.outcome, (counts.outcomes.get(use.outcome) ?? 0) + 1);
  }

  /**
   * By month, kind and ground, in this order.
   *
   * @param suppressBelow counts from 1 up to this, exclusive, are not told: in their row only the number of searches is,
   *   if it is large enough itself, since one count can be worked out from the others. 0 or 1 tells everything
   */
  rows(suppressBelow: number): readonly UsageRow[] {
    return [...this.counts.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { of, counts }]) => row(of, counts, suppressBelow));
  }
}

function row(of: SearchUse, counts: Counts, suppressBelow: number): UsageRow {
  const { searches, hits, wrongLeads } = counts;
  const names = of.kind === 'operator' ? OPERATOR_USE_OUTCOMES : RETROSPECTIVE_USE_OUTCOMES;
  const outcomes: readonly (readonly [UseOutcome, number])[] = names.map((name) => [
    name,
    counts.outcomes.get(name) ?? 0,
  ]);
  // What is left of a count says as much: 3 without a hit are 3 people.
  const told = [hits, searches - hits, wrongLeads, searches - wrongLeads, ...outcomes.map(([, count]) => count)];
  const isSmall = (count: number): boolean => count > 0 && count < suppressBelow;
  const withheld = told.some(isSmall);
  const show = (count: number): number | null => (withheld ? null : count);
  return {
    month: of.month,
    kind: of.kind,
    ground: of.ground,
    searches: isSmall(searches) ? null : searches,
    hits: show(hits),
    wrongLeads: show(wrongLeads),
    outcomes: Object.fromEntries(outcomes.map(([name, count]) => [name, show(count)])),
  };
}
