/**
 * Whether a kind of search may run now, and by which threshold it is judged: what people have decided, as this replica
 * has read it, and in production only what was evaluated for a gallery of this size, or what two people answer for.
 */
import { CodedError, Failure, Refusal } from '#domain/errors.js';
import { overrideInForce, thresholdsInForce, type GovernanceState } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import type { AppliedThreshold, ModelOverrideNotice, SearchKind } from '#domain/search-answer.js';
import { thresholdFor } from '#domain/threshold.js';

export interface ModelInUse {
  readonly modelId: ModelId;
  /** The pack's own word: good for finding out whether the system works, not for policing. */
  readonly evaluationOnly: boolean;
}

export interface KindOfSearchState {
  readonly allowed: boolean;
  /** Why not: SEARCH_SUSPENDED, MODEL_NOT_APPROVED or THRESHOLD_MISSING. */
  readonly code: string | null;
  /** The score that applies at the gallery's present size, and whether it was evaluated there. */
  readonly threshold: { readonly score: number; readonly evaluated: boolean } | null;
}

export class SearchPermits {
  constructor(
    private readonly governance: { readonly state: GovernanceState },
    private readonly model: ModelInUse,
    private readonly deployment: 'local' | 'production',
  ) {}

  /** Before anything of the probe is looked at. @throws Refusal SEARCH_SUSPENDED, MODEL_NOT_APPROVED */
  check(kind: SearchKind): void {
    const suspension = this.governance.state.suspensions.get(kind);
    if (suspension !== undefined) {
      throw new Refusal(
        'SEARCH_SUSPENDED',
        `${NAMES[kind]} are suspended by decision of the force; nothing was searched. Follow the procedure without facial recognition.`,
        { kind, since: suspension.since },
      );
    }
    this.requireApproved();
  }

  /**
   * Whether searches of this kind could be judged by this model, for whoever is about to switch to it. A suspension is no
   * reason not to.
   *
   * @param enrolled templates of the gallery that would be searched
   * @throws Refusal MODEL_NOT_APPROVED; Failure THRESHOLD_MISSING
   */
  requireUsable(kind: SearchKind, enrolled: number): void {
    this.requireApproved();
    this.threshold(kind, enrolled);
  }

  /**
   * @param enrolled templates of the gallery that was searched
   * @throws Refusal MODEL_NOT_APPROVED; Failure THRESHOLD_MISSING
   */
  threshold(kind: SearchKind, enrolled: number): AppliedThreshold {
    const set = thresholdsInForce(this.governance.state);
    if (set === undefined) throw new Failure('THRESHOLD_MISSING', 'No thresholds are in force.', false);
    const threshold = thresholdFor(set, this.model.modelId, kind, enrolled);
    if (!threshold.evaluated) this.requireOverride(`it was not evaluated for a gallery of ${enrolled}`);
    const override = this.override;
    return { ...threshold, ...(override !== undefined && { override }) };
  }

  /** What a search would be told now, for people who want to know before they search. */
  stateOf(kind: SearchKind, enrolled: number): KindOfSearchState {
    try {
      this.check(kind);
      const { score, evaluated } = this.threshold(kind, enrolled);
      return { allowed: true, code: null, threshold: { score, evaluated } };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return { allowed: false, code: error.code, threshold: null };
    }
  }

  /** What two people have decided for the model in use. */
  get override(): ModelOverrideNotice | undefined {
    return overrideInForce(this.governance.state, this.model.modelId);
  }

  private requireApproved(): void {
    if (this.model.evaluationOnly) this.requireOverride('the model pack is for evaluation only');
  }

  private requireOverride(because: string): void {
    if (this.deployment === 'local' || this.override !== undefined) return;
    throw new Refusal(
      'MODEL_NOT_APPROVED',
      `Model ${this.model.modelId} is not approved for this: ${because}. Nothing is shown.`,
      { modelId: this.model.modelId },
    );
  }
}

const NAMES: Readonly<Record<SearchKind, string>> = {
  operator: 'Operator-initiated searches',
  retrospective: 'Retrospective searches',
};
