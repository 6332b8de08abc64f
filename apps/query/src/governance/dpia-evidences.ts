/**
 * Puts together what the author of a data protection impact assessment needs as evidence. Read from what is running, not
 * from what somebody has written about it; the request is in the audit before the answer.
 */
import type { AuditLog } from '#audit/audit-log.js';
import type { VerifierKey } from '#audit/signed-note.js';
import type { DpiaEvidence, EvidencedTopic } from '#contracts/dpia-evidence.js';
import { dayAfter } from '#contracts/retention-forms.js';
import type { DesiredTopic } from '#contracts/topics.js';
import type { UsageReportQuery } from '#contracts/usage-report-query.js';
import { hasRole, ROLES, type Actor } from '#domain/identity.js';
import {
  GROUNDS,
  JUSTIFICATION_LENGTH_MIN,
  OPERATOR_LIMIT_DEFAULT,
  OPERATOR_LIMIT_MAX,
  OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN,
} from '#domain/operator-search.js';
import type { RetentionPolicy } from '#domain/retention.js';
import { PROBE_SOURCES, RETROSPECTIVE_LIMIT_DEFAULT, RETROSPECTIVE_LIMIT_MAX } from '#domain/retrospective-request.js';
import type { TopicAdmin } from '#kafka/topic-admin.js';
import { ASSERTION_AGE_SECONDS_MAX, TOKEN_LIFETIME_SECONDS_MAX } from '#platform/identity.js';
import type { Route } from '#platform/routes.js';
import type { SettingName, Settings } from '#platform/settings.js';
import type { AuditView } from '../audit/audit-view.js';
import type { Galleries } from '../searches/galleries.js';
import type { GalleryRegister } from '../data-protection/gallery-register.js';
import type { GovernanceLog } from './governance-log.js';
import { OPERATOR_RETENTION_DAYS_MIN } from '../searches/search-retention.js';
import type { SearchView } from '../searches/search-view.js';
import type { UsageReports } from './usage-reports.js';

/** A list of what may be shown, so that a setting that comes later, and may be a secret, is not. No file, no address. */
export const SETTINGS_SHOWN = [
  'DEPLOYMENT',
  'TOPIC_PROFILE',
  'KAFKA_REPLICATION',
  'PEER_REVIEW',
  'ERASURE_BULK_MIN',
  'AUDIT_RETENTION_DAYS',
  'RATE_LIMIT',
  'SERVICE_RATE_LIMIT',
  'CONCURRENCY_LIMIT',
  'OPERATOR_SEARCH_MODE',
  'OPERATOR_SEARCH_DEADLINE_MS',
  'RETROSPECTIVE_SEARCH_DEADLINE_MS',
  'LOG_LEVEL',
] as const satisfies readonly SettingName[];

const RULES: DpiaEvidence['rules'] = {
  grounds: GROUNDS,
  justificationCharactersMin: JUSTIFICATION_LENGTH_MIN,
  otherPolicingPurposeJustificationCharactersMin: OTHER_PURPOSE_JUSTIFICATION_LENGTH_MIN,
  operatorCandidates: OPERATOR_LIMIT_DEFAULT,
  operatorCandidatesMax: OPERATOR_LIMIT_MAX,
  operatorSearchKeptDaysMin: OPERATOR_RETENTION_DAYS_MIN,
  probeSources: PROBE_SOURCES,
  retrospectiveCandidates: RETROSPECTIVE_LIMIT_DEFAULT,
  retrospectiveCandidatesMax: RETROSPECTIVE_LIMIT_MAX,
  tokenSecondsMax: TOKEN_LIFETIME_SECONDS_MAX,
  assertionSecondsMax: ASSERTION_AGE_SECONDS_MAX,
};

const NOTES = [
  'Evidence, not an assessment: whether a search is strictly necessary and proportionate is for the force to say.',
  'Nobody’s data but the ids of those who decided about searching as such.',
  'Settings are those of the replica that answered; ingest and index have others. Topics are compared with what Kafka says.',
  'An evaluation report is named by its SHA-256; the report itself is with whoever proposed the thresholds.',
  'The checkpoint commits to every audit entry that it counts: keep it where nobody who runs the system can write.',
];

export class DpiaEvidences {
  constructor(
    private readonly parts: {
      readonly audit: AuditLog;
      readonly governance: Pick<GovernanceLog, 'state' | 'history'>;
      readonly galleries: Pick<Galleries, 'list'>;
      readonly register: Pick<GalleryRegister, 'countReviewsDue'>;
      readonly retentionPolicy: RetentionPolicy;
      readonly searches: Pick<SearchView, 'countWithoutOutcome'>;
      readonly usage: Pick<UsageReports, 'count'>;
      readonly auditView: Pick<AuditView, 'size' | 'lastCheckpoint'>;
      readonly auditKeys: readonly VerifierKey[];
      readonly topics: Pick<TopicAdmin, 'checkTopics'>;
      readonly topicsWanted: readonly DesiredTopic[];
      readonly routes: readonly Route[];
      readonly settings: Settings;
      readonly version: string;
    },
  ) {}

  /** @throws Failure AUDIT_UNAVAILABLE, KAFKA_UNAVAILABLE */
  async gather(actor: Actor, query: UsageReportQuery): Promise<DpiaEvidence> {
    const { audit, governance, searches, usage, version } = this.parts;
    const { from, to, suppressBelow } = query;
    await audit.append([
      {
        operation: 'consultation',
        action: 'dpia-evidence',
        actor: actor.id,
        role: hasRole(actor, ['data-protection']) ? 'data-protection' : 'auditor',
        purpose: 'DPA 2018 s.64',
        recipients: [actor.id],
        detail: { ...(from !== undefined && { from }), ...(to !== undefined && { to }), suppressBelow },
      },
    ]);
    const [inUse, topics, use] = await Promise.all([this.galleryInUse(), this.topics(), usage.count(query)]);
    const { thresholds, suspensions, overrides } = governance.state;
    const versions = [...thresholds.values()].reverse();
    return {
      generatedAt: new Date().toISOString(),
      versions: { software: version, node: process.version },
      ...inUse,
      thresholds: { versionInForce: versions.find(({ state }) => state === 'in-force')?.version ?? null, versions },
      suspensions: [...suspensions.values()],
      overrides: [...overrides.values()].reverse(),
      decisions: governance.history,
      retentionPolicy: this.parts.retentionPolicy,
      rules: RULES,
      settings: this.settingsShown(),
      topics,
      roles: this.callsOfRoles(),
      use,
      operatorSearchesWithoutOutcome: searches.countWithoutOutcome(),
      audit: this.sealedAudit(),
      notes: NOTES,
    };
  }

  private async galleryInUse(): Promise<Pick<DpiaEvidence, 'model' | 'gallery'>> {
    const [inUse] = (await this.parts.galleries.list()).galleries;
    const { modelId, model, enrolled, complete } = inUse!;
    const reviewsDue = this.parts.register.countReviewsDue(dayAfter(new Date()));
    return { model: { modelId, ...model }, gallery: { enrolled, complete, reviewsDue } };
  }

  private async topics(): Promise<readonly EvidencedTopic[]> {
    const { topics, topicsWanted } = this.parts;
    const { differing } = await topics.checkTopics(topicsWanted);
    return topicsWanted.map((topic) => ({
      ...topic,
      differing: differing.flatMap(({ topic: name, ...difference }) => (name === topic.name ? [difference] : [])),
    }));
  }

  private settingsShown(): DpiaEvidence['settings'] {
    return Object.fromEntries(SETTINGS_SHOWN.map((name) => [name, this.parts.settings[name]]));
  }

  private callsOfRoles(): DpiaEvidence['roles'] {
    const { routes } = this.parts;
    return ROLES.map((role) => ({
      role,
      calls: routes.filter(({ roles }) => roles?.includes(role) ?? false).map(({ route }) => route),
    }));
  }

  private sealedAudit(): DpiaEvidence['audit'] {
    const { auditView, auditKeys } = this.parts;
    const checkpoint = auditView.lastCheckpoint();
    const sealed = checkpoint?.size ?? 0;
    // A checkpoint may be read before the leaves that it counts.
    const entries = Math.max(auditView.size, sealed);
    return {
      entries,
      sealed,
      unsealed: entries - sealed,
      checkpoint: checkpoint?.note ?? null,
      verifierKeys: auditKeys.map(({ text }) => text),
    };
  }
}
