/**
 * What people decide about searching as such, as a fold over `governance.decisions`: which kind of search is suspended,
 * which thresholds are in force, whether a model may be used that has no approved evaluation for the gallery's size.
 *
 *     suspension   one person suspends; two different people lift
 *     thresholds   PROPOSED ─ another person approves ─▶ in force, and every older proposal lapses
 *     override     PROPOSED ─ another person approves ─▶ IN_FORCE ─ one person ends it ─▶ ENDED
 *     gallery      of one model is in force ─ one person switches ─▶ of the other is; one that is not can be RETIRED, and
 *                  when it has been destroyed, it can be built again
 *
 * The order of the log decides. Every replica folds the same records with this function; a decision that is not legal in
 * the state that it meets changes nothing, everywhere, for the same reason.
 */
import { Refusal } from './errors.js';
import { isSamePerson, type Role } from './identity.js';
import type { ModelId } from './ids.js';
import type { ModelOverrideNotice, SearchKind } from './search-answer.js';
import { checkThresholds, type ThresholdContents, type ThresholdSet } from './threshold.js';

export const SEARCH_KINDS = ['operator', 'retrospective'] as const satisfies readonly SearchKind[];

interface DecisionBase {
  readonly decisionId: string;
  readonly by: string;
  readonly role: Role | 'system';
  /** Why, in words. */
  readonly reason: string;
}

export type GovernanceDecision = DecisionBase &
  (
    | { readonly type: 'SEARCH_SUSPENDED'; readonly kind: SearchKind; readonly authority: string }
    | { readonly type: 'SUSPENSION_LIFTED'; readonly kind: SearchKind; readonly authority: string }
    /** What the deployment brought along, when there was nothing else. */
    | { readonly type: 'THRESHOLDS_DEPLOYED'; readonly thresholds: ThresholdSet; readonly fileSha256: string }
    | { readonly type: 'THRESHOLDS_PROPOSED'; readonly thresholds: ThresholdContents }
    | { readonly type: 'THRESHOLDS_APPROVED'; readonly version: number }
    | { readonly type: 'OVERRIDE_PROPOSED'; readonly modelId: ModelId; readonly authority: string }
    | { readonly type: 'OVERRIDE_APPROVED'; readonly overrideId: string }
    | { readonly type: 'OVERRIDE_ENDED'; readonly overrideId: string }
    /** `lacking`: images that the gallery of `to` lacks, as the one who decided was told and has accepted. */
    | { readonly type: 'GALLERY_SWITCHED'; readonly from: ModelId; readonly to: ModelId; readonly lacking: number }
    /** `inForce`: as the one who decided was told. */
    | { readonly type: 'GALLERY_RETIRED'; readonly modelId: ModelId; readonly inForce: ModelId }
    /** Nothing of a retired gallery is left. */
    | { readonly type: 'GALLERY_DESTROYED'; readonly modelId: ModelId }
  );

/** Who said so, and when the log took it. */
export interface Said {
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string;
}

export interface Suspension {
  readonly kind: SearchKind;
  /** ISO 8601, of the first of the decisions that keep it in force. */
  readonly since: string;
  readonly by: string;
  readonly reason: string;
  readonly authority: string;
  /** The first of the two people whom lifting takes. */
  readonly lifting: Said | null;
}

export interface ThresholdVersion {
  readonly version: number;
  /** Of the proposal. */
  readonly decisionId: string;
  readonly state: 'proposed' | 'in-force' | 'replaced' | 'lapsed';
  readonly thresholds: ThresholdSet;
  readonly proposed: Said;
  readonly approved: Said | null;
  /** SHA-256 of the file, when the version came with the deployment. */
  readonly fileSha256: string | null;
}

export interface ModelOverride {
  readonly overrideId: string;
  readonly modelId: ModelId;
  readonly state: 'proposed' | 'in-force' | 'ended';
  readonly authority: string;
  readonly proposed: Said;
  readonly approved: Said | null;
  readonly ended: Said | null;
}

/** Which model's gallery is searched since somebody has switched. */
export interface GallerySwitch {
  readonly modelId: ModelId;
  /** The one before, to which it can be switched back. */
  readonly from: ModelId;
  readonly lacking: number;
  readonly switched: Said;
}

export interface GovernanceState {
  readonly suspensions: ReadonlyMap<SearchKind, Suspension>;
  /** By version, ascending. */
  readonly thresholds: ReadonlyMap<number, ThresholdVersion>;
  readonly overrides: ReadonlyMap<string, ModelOverride>;
  /** Null until the first switch: then what the deployment names is in force. */
  readonly gallery: GallerySwitch | null;
  /** Galleries that are to be destroyed, and why. */
  readonly retired: ReadonlyMap<ModelId, Said>;
  /** Every decision that counted, by its id. */
  readonly accepted: ReadonlyMap<string, GovernanceDecision>;
}

export const NOTHING_DECIDED: GovernanceState = {
  suspensions: new Map(),
  thresholds: new Map(),
  overrides: new Map(),
  gallery: null,
  retired: new Map(),
  accepted: new Map(),
};

/**
 * The state after a decision.
 *
 * @param at when the log took it, ISO 8601
 * @throws Refusal DECISION_REPEATED; NOT_SUSPENDED; THRESHOLDS_INVALID, THRESHOLDS_NOT_FOUND, THRESHOLDS_NOT_PROPOSED,
 *   THRESHOLDS_DEPLOYED_BEFORE; OVERRIDE_NOT_FOUND, OVERRIDE_NOT_PROPOSED, OVERRIDE_ENDED_BEFORE; APPROVER_NOT_DISTINCT;
 *   GALLERY_IN_FORCE, GALLERY_SWITCHED_MEANWHILE, GALLERY_RETIRED_BEFORE, GALLERY_NOT_RETIRED
 */
export function foldGovernance(state: GovernanceState, decision: GovernanceDecision, at: string): GovernanceState {
  if (state.accepted.has(decision.decisionId)) {
    throw new Refusal('DECISION_REPEATED', 'This decision was taken before; it counts once.');
  }
  const after = fold(state, decision, { by: decision.by, at, reason: decision.reason });
  return { ...after, accepted: withEntry(state.accepted, decision.decisionId, decision) };
}

function fold(state: GovernanceState, decision: GovernanceDecision, said: Said): GovernanceState {
  switch (decision.type) {
    case 'SEARCH_SUSPENDED': {
      const { kind, authority } = decision;
      const since = state.suspensions.get(kind)?.since ?? said.at;
      // Whoever suspends what is about to be lifted means that it should not be: lifting begins again.
      const suspension = { kind, since, by: said.by, reason: said.reason, authority, lifting: null };
      return { ...state, suspensions: withEntry(state.suspensions, kind, suspension) };
    }
    case 'SUSPENSION_LIFTED':
      return lift(state, decision.kind, said);
    case 'THRESHOLDS_DEPLOYED':
      return deploy(state, decision, said);
    case 'THRESHOLDS_PROPOSED': {
      checkThresholds(decision.thresholds, true);
      const version = Math.max(0, ...state.thresholds.keys()) + 1;
      const thresholds = { version, ...decision.thresholds };
      const proposed: ThresholdVersion = {
        version,
        decisionId: decision.decisionId,
        state: 'proposed',
        thresholds,
        proposed: said,
        approved: null,
        fileSha256: null,
      };
      return { ...state, thresholds: withEntry(state.thresholds, version, proposed) };
    }
    case 'THRESHOLDS_APPROVED':
      return approveThresholds(state, decision.version, said);
    case 'OVERRIDE_PROPOSED': {
      const { decisionId: overrideId, modelId, authority } = decision;
      return withOverride(state, {
        overrideId,
        modelId,
        state: 'proposed',
        authority,
        proposed: said,
        approved: null,
        ended: null,
      });
    }
    case 'OVERRIDE_APPROVED': {
      const override = overrideOf(state, decision.overrideId);
      if (override.state !== 'proposed') {
        throw new Refusal(
          'OVERRIDE_NOT_PROPOSED',
          `The override is ${override.state}; only a proposed one is approved.`,
        );
      }
      expectAnother(override.proposed, said);
      return withOverride(state, { ...override, state: 'in-force', approved: said });
    }
    case 'OVERRIDE_ENDED': {
      const override = overrideOf(state, decision.overrideId);
      if (override.state === 'ended') throw new Refusal('OVERRIDE_ENDED_BEFORE', 'The override was ended before.');
      return withOverride(state, { ...override, state: 'ended', ended: said });
    }
    case 'GALLERY_SWITCHED':
      return switchGallery(state, decision, said);
    case 'GALLERY_RETIRED': {
      const { modelId, inForce } = decision;
      if (modelId === (state.gallery?.modelId ?? inForce)) throw galleryInForce(modelId);
      if (state.retired.has(modelId)) throw retiredBefore(modelId);
      return { ...state, retired: withEntry(state.retired, modelId, said) };
    }
    case 'GALLERY_DESTROYED': {
      if (!state.retired.has(decision.modelId)) {
        throw new Refusal('GALLERY_NOT_RETIRED', `The gallery of model ${decision.modelId} is not retired.`);
      }
      const retired = new Map(state.retired);
      retired.delete(decision.modelId);
      return { ...state, retired };
    }
  }
}

function switchGallery(
  state: GovernanceState,
  { from, to, lacking }: GovernanceDecision & { readonly type: 'GALLERY_SWITCHED' },
  said: Said,
): GovernanceState {
  const inForce = state.gallery?.modelId ?? from;
  if (to === inForce) throw galleryInForce(to);
  // What was checked before the switch was checked against another gallery.
  if (from !== inForce) {
    throw new Refusal('GALLERY_SWITCHED_MEANWHILE', `The gallery of model ${inForce} is in force now, not of ${from}.`);
  }
  if (state.retired.has(to)) throw retiredBefore(to);
  return { ...state, gallery: { modelId: to, from, lacking, switched: said } };
}

function galleryInForce(model: ModelId): Refusal {
  return new Refusal('GALLERY_IN_FORCE', `The gallery of model ${model} is in force.`);
}

function retiredBefore(model: ModelId): Refusal {
  return new Refusal('GALLERY_RETIRED_BEFORE', `The gallery of model ${model} is retired: it is to be destroyed.`);
}

function lift(state: GovernanceState, kind: SearchKind, said: Said): GovernanceState {
  const suspension = state.suspensions.get(kind);
  if (suspension === undefined) throw new Refusal('NOT_SUSPENDED', `No ${kind} search is suspended.`);
  if (suspension.lifting === null) {
    return { ...state, suspensions: withEntry(state.suspensions, kind, { ...suspension, lifting: said }) };
  }
  expectAnother(suspension.lifting, said);
  const suspensions = new Map(state.suspensions);
  suspensions.delete(kind);
  return { ...state, suspensions };
}

/** Once, and never over what people have decided: whoever may replace a file could change thresholds alone otherwise. */
function deploy(
  state: GovernanceState,
  { decisionId, thresholds, fileSha256 }: GovernanceDecision & { readonly type: 'THRESHOLDS_DEPLOYED' },
  said: Said,
): GovernanceState {
  if (state.thresholds.size > 0) {
    throw new Refusal('THRESHOLDS_DEPLOYED_BEFORE', 'There are thresholds; others are proposed and approved.');
  }
  checkThresholds(thresholds, false);
  const { version } = thresholds;
  const deployed: ThresholdVersion = {
    version,
    decisionId,
    state: 'in-force',
    thresholds,
    proposed: said,
    approved: said,
    fileSha256,
  };
  return { ...state, thresholds: withEntry(state.thresholds, version, deployed) };
}

function approveThresholds(state: GovernanceState, version: number, said: Said): GovernanceState {
  const proposal = state.thresholds.get(version);
  if (proposal === undefined) throw new Refusal('THRESHOLDS_NOT_FOUND', `There are no thresholds ${version}.`);
  if (proposal.state !== 'proposed') {
    throw new Refusal('THRESHOLDS_NOT_PROPOSED', `Thresholds ${version} are ${proposal.state}, not proposed.`);
  }
  expectAnother(proposal.proposed, said);
  const thresholds = new Map<number, ThresholdVersion>();
  for (const [number, other] of state.thresholds) {
    // An older proposal was made on what is now replaced: to return to it, it is proposed again and gets a new version.
    const lapses = other.state === 'proposed' && number < version;
    const next = other.state === 'in-force' ? 'replaced' : lapses ? 'lapsed' : other.state;
    thresholds.set(
      number,
      number === version ? { ...other, state: 'in-force', approved: said } : { ...other, state: next },
    );
  }
  return { ...state, thresholds };
}

function overrideOf(state: GovernanceState, id: string): ModelOverride {
  const override = state.overrides.get(id);
  if (override === undefined) throw new Refusal('OVERRIDE_NOT_FOUND', 'There is no such override.');
  return override;
}

function withOverride(state: GovernanceState, override: ModelOverride): GovernanceState {
  return { ...state, overrides: withEntry(state.overrides, override.overrideId, override) };
}

function expectAnother(first: Said, second: Said): void {
  if (!isSamePerson(first.by, second.by)) return;
  throw new Refusal('APPROVER_NOT_DISTINCT', 'This takes a second person: whoever asked for it cannot approve it.');
}

function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value);
}

/** @returns undefined only before the deployment's own thresholds are in the log */
export function thresholdsInForce(state: GovernanceState): ThresholdSet | undefined {
  for (const { state: standing, thresholds } of state.thresholds.values()) {
    if (standing === 'in-force') return thresholds;
  }
  return undefined;
}

/** The override that two people have put in force for a model, as answers show it. */
export function overrideInForce(state: GovernanceState, model: ModelId): ModelOverrideNotice | undefined {
  for (const { overrideId, modelId, state: standing, proposed, approved } of state.overrides.values()) {
    if (standing !== 'in-force' || modelId !== model || approved === null) continue;
    return { decisionId: overrideId, by: [proposed.by, approved.by], since: approved.at, reason: proposed.reason };
  }
  return undefined;
}
