/** What the audit says of a decision about searching as such, before the decision is put into its log. */
import type { AuditStatement } from '#contracts/audit-record.js';
import type { GovernanceDecision } from '#domain/governance.js';

export function governanceStatement(decision: GovernanceDecision): AuditStatement {
  const { decisionId, by, role, reason } = decision;
  const { action, purpose, detail, ...more } = particulars(decision);
  return {
    operation: 'alteration',
    action,
    actor: by,
    role,
    purpose,
    justification: reason,
    ...more,
    detail: { decisionId, ...detail },
  };
}

type Particulars = Pick<AuditStatement, 'action' | 'purpose' | 'detail' | 'modelId' | 'thresholdVersion'>;

function particulars(decision: GovernanceDecision): Particulars {
  switch (decision.type) {
    case 'SEARCH_SUSPENDED':
      return { action: 'suspend-search', purpose: decision.authority, detail: { kind: decision.kind } };
    case 'SUSPENSION_LIFTED':
      return { action: 'lift-suspension', purpose: decision.authority, detail: { kind: decision.kind } };
    case 'THRESHOLDS_DEPLOYED': {
      const { thresholds, fileSha256 } = decision;
      return {
        action: 'deploy-thresholds',
        purpose: 'thresholds',
        thresholdVersion: thresholds.version,
        detail: { fileSha256, reportSha256: thresholds.evaluation.reportSha256 },
      };
    }
    case 'THRESHOLDS_PROPOSED': {
      const { reportSha256 } = decision.thresholds.evaluation;
      return { action: 'propose-thresholds', purpose: 'thresholds', detail: { reportSha256 } };
    }
    case 'THRESHOLDS_APPROVED':
      return { action: 'approve-thresholds', purpose: 'thresholds', thresholdVersion: decision.version };
    case 'OVERRIDE_PROPOSED':
      return { action: 'propose-model-override', purpose: decision.authority, modelId: decision.modelId };
    case 'OVERRIDE_APPROVED':
      return {
        action: 'approve-model-override',
        purpose: 'model approval',
        detail: { overrideId: decision.overrideId },
      };
    case 'OVERRIDE_ENDED':
      return { action: 'end-model-override', purpose: 'model approval', detail: { overrideId: decision.overrideId } };
    case 'GALLERY_SWITCHED': {
      const { from, to, lacking } = decision;
      return { action: 'switch-gallery', purpose: 'model change', modelId: to, detail: { from, lacking } };
    }
    case 'GALLERY_RETIRED':
      return { action: 'retire-gallery', purpose: 'model change', modelId: decision.modelId };
    case 'GALLERY_DESTROYED':
      return { action: 'gallery-destroyed', purpose: 'model change', modelId: decision.modelId };
  }
}
