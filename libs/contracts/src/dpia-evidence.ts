/**
 * What the author of a data protection impact assessment (DPA 2018 s.64) needs as evidence of this installation: what is
 * configured and in force, who decided it and when, and how much it is used. Counts, settings and decisions; nobody's
 * data but the ids of those who decided.
 */
import type { GovernanceDecision, ModelOverride, Suspension, ThresholdVersion } from '#domain/governance.js';
import type { Role } from '#domain/identity.js';
import type { RetentionPolicy } from '#domain/retention.js';
import type { UsageReport } from '#domain/usage-report.js';
import type { DesiredTopic } from './topics.js';

/** A decision that counted, and when the log took it (ISO 8601). */
export type DatedDecision = GovernanceDecision & { readonly at: string };

export interface DpiaEvidence {
  /** ISO 8601. */
  readonly generatedAt: string;
  readonly versions: { readonly software: string; readonly node: string };
  readonly model: {
    readonly modelId: string;
    readonly name: string;
    readonly version: string;
    readonly licence: string;
    readonly licenceHolder: string;
    readonly evaluationOnly: boolean;
    readonly note: string;
  };
  readonly gallery: {
    /** Templates, as the shards say. */
    readonly enrolled: number;
    /** False: some part of the gallery did not answer, so that there are more. */
    readonly complete: boolean;
    /** Images whose review date has come. */
    readonly reviewsDue: number;
  };
  readonly thresholds: {
    readonly versionInForce: number | null;
    /** Newest first. */
    readonly versions: readonly ThresholdVersion[];
  };
  /** Those in force. */
  readonly suspensions: readonly Suspension[];
  /** Newest first. */
  readonly overrides: readonly ModelOverride[];
  /** Every decision about searching as such, in the order of the log. */
  readonly decisions: readonly DatedDecision[];
  readonly retentionPolicy: RetentionPolicy;
  /** What the API holds to, whatever is configured. */
  readonly rules: Readonly<Record<string, number | string | readonly string[]>>;
  /** What is configured and matters for privacy, by its name in the environment; of the replica that answered. */
  readonly settings: Readonly<Record<string, number | string>>;
  readonly topics: readonly EvidencedTopic[];
  /** Which calls of the query service each role may make. */
  readonly roles: readonly { readonly role: Role; readonly calls: readonly string[] }[];
  readonly use: UsageReport;
  readonly operatorSearchesWithoutOutcome: number;
  readonly audit: {
    readonly entries: number;
    /** Covered by the checkpoint. */
    readonly sealed: number;
    readonly unsealed: number;
    /** The signed note (C2SP tlog-checkpoint); null before the first one. */
    readonly checkpoint: string | null;
    /** What it is verified with, a line each. */
    readonly verifierKeys: readonly string[];
  };
  /** What this is, and is not. */
  readonly notes: readonly string[];
}

export interface EvidencedTopic extends DesiredTopic {
  /** What Kafka says otherwise; empty: it is as wanted. */
  readonly differing: readonly { readonly setting: string; readonly wanted: string; readonly found: string }[];
}
