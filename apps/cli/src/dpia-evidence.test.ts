import { describe, expect, it } from 'vitest';
import type { DatedDecision, DpiaEvidence } from '#contracts/dpia-evidence.js';
import type { ThresholdVersion } from '#domain/governance.js';
import { evidenceText } from './dpia-evidence.js';

const rule = { reviewAfterMonths: 6, childReviewAfterMonths: 3, deleteByRule: false };
const suspended: DatedDecision = {
  type: 'SEARCH_SUSPENDED',
  decisionId: 'd-1',
  kind: 'operator',
  by: 'alice',
  role: 'threshold-approver',
  authority: 'Chief Constable',
  reason: 'The evaluation | the report\nis being looked into',
  at: '2026-05-01T10:00:00.000Z',
};

const evidence: DpiaEvidence = {
  generatedAt: '2026-06-01T00:00:00.000Z',
  versions: { software: '0.1.0', node: 'v24.0.0' },
  model: {
    modelId: 'a0d170a0d170a0d1',
    name: 'pack',
    version: '1',
    licence: 'MIT',
    licenceHolder: 'somebody',
    evaluationOnly: true,
    note: 'not for policing',
  },
  gallery: { enrolled: 10, complete: false, reviewsDue: 1 },
  thresholds: { versionInForce: null, versions: [] },
  suspensions: [],
  overrides: [],
  decisions: [suspended],
  retentionPolicy: {
    version: 1,
    effectiveFrom: '2026-01-01',
    authority: 'The chief officer.',
    outcomes: { 'no-further-action': rule, acquitted: rule, charged: rule, convicted: rule },
    withoutOutcome: rule,
    lawfulBases: {},
  },
  rules: { grounds: ['missing', 'deceased'] },
  settings: { PEER_REVIEW: 'off' },
  topics: [
    {
      name: 'audit.log.v1',
      partitions: 1,
      replication: 1,
      config: { 'cleanup.policy': 'delete', 'retention.ms': '-1' },
      differing: [{ setting: 'retention.ms', wanted: '-1', found: '60000' }],
    },
  ],
  roles: [{ role: 'auditor', calls: ['GET /v1/audit'] }],
  use: {
    generatedAt: '2026-06-01T00:00:00.000Z',
    from: null,
    to: null,
    suppressBelow: 5,
    rows: [
      {
        month: '2026-05',
        kind: 'operator',
        ground: 'missing',
        searches: null,
        hits: null,
        wrongLeads: null,
        outcomes: {},
      },
    ],
    notes: ['Counted from the view.'],
  },
  operatorSearchesWithoutOutcome: 0,
  audit: { entries: 5, sealed: 3, unsealed: 2, checkpoint: 'origin\n3\nroot\n\n— origin sig\n', verifierKeys: [] },
  notes: ['Evidence, not an assessment.'],
};

const said = (by: string) => ({ by, at: '2026-05-01T10:00:00.000Z', reason: 'A new evaluation' });
const proposedAndApproved: ThresholdVersion = {
  version: 3,
  decisionId: 'd-2',
  state: 'in-force',
  thresholds: { version: 3, evaluation: { reportSha256: '0a'.repeat(32), description: 'On our own.' }, profiles: [] },
  proposed: said('alice'),
  approved: said('bob'),
  fileSha256: null,
};

describe('the evidence to be read', () => {
  const text = evidenceText(evidence);

  it('has a row for each decision, whatever somebody wrote as the reason', () => {
    expect(text.split('\n')).toContain(
      '| 2026-05-01T10:00:00.000Z | SEARCH_SUSPENDED | operator searches | alice | threshold-approver ' +
        '| Chief Constable | The evaluation \\| the report is being looked into |',
    );
  });

  it.each([
    ['a model for evaluation', 'yes: not for policing'],
    ['a gallery that did not answer whole', '10, and parts that did not answer'],
    ['that no thresholds are in force', '## Thresholds in force\n\nNone.'],
    ['what Kafka keeps otherwise', 'retention.ms is 60000, wanted -1'],
    ['a count that is withheld', '| 2026-05 | operator | missing | withheld | withheld | withheld |'],
    [
      'how much of the audit is not sealed',
      '5 entries, of which 3 are sealed by the checkpoint below and 2 are not yet.',
    ],
  ])('does not hide %s', (_, said) => {
    expect(text).toContain(said);
  });

  it.each([
    [{ fileSha256: 'f2' }, 'from the deployment’s file (SHA-256 `f2`), approved by nobody'],
    [{}, 'proposed by alice, approved by bob'],
  ])('says of thresholds with %j that they are %s', (given, said) => {
    const version = { ...proposedAndApproved, ...given };
    expect(evidenceText({ ...evidence, thresholds: { versionInForce: 3, versions: [version] } })).toContain(
      `Version 3, ${said}.`,
    );
  });
});
