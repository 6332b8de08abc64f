import { describe, expect, it } from 'vitest';
import { AuditLog } from '#audit/audit-log.js';
import { retentionPolicySchema } from '#contracts/retention-forms.js';
import { desiredTopics, type DesiredTopic } from '#contracts/topics.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import { NOTHING_DECIDED } from '#domain/governance.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId } from '#domain/ids.js';
import type { Route } from '#platform/routes.js';
import { readSettings, SETTINGS } from '#platform/settings.js';
import { DpiaEvidences, SETTINGS_SHOWN } from './dpia-evidences.js';

const dataProtection: Actor = { id: 'dp-1', roles: ['data-protection'] };
const everything = { from: undefined, to: undefined, suppressBelow: 5 };
const topicsWanted = desiredTopics({ modelId: 'a0d170a0d170a0d1' as ModelId, profile: 'local', replication: 1 });
const rule = { reviewAfterMonths: 0, childReviewAfterMonths: 0, deleteByRule: false };
const retentionPolicy = retentionPolicySchema.parse({
  version: 1,
  effectiveFrom: '2026-01-01',
  authority: 'the chief officer',
  outcomes: { 'no-further-action': rule, acquitted: rule, charged: rule, convicted: rule },
  withoutOutcome: rule,
  lawfulBases: {},
});
const routes: Route[] = [
  { route: 'GET /v1/audit', roles: ['auditor'] },
  { route: 'GET /v1/reports/dpia', roles: ['data-protection', 'auditor'] },
  { route: 'GET /closed', roles: undefined },
];
/** A word in each setting that is text, by which it would be recognised. */
const FOUND_OUT = 'must-not-be-shown';

interface Recorded {
  readonly evidences: DpiaEvidences;
  readonly done: string[];
}

function evidencesOf(audited: () => Promise<void> = () => Promise.resolve()): Recorded {
  const done: string[] = [];
  const settings = readSettings({
    DATA_DIR: `/${FOUND_OUT}`,
    AUTH_ISSUER: FOUND_OUT,
    KAFKA_BROKERS: `${FOUND_OUT}:9092`,
    THRESHOLDS_FILE: FOUND_OUT,
    RATE_LIMIT: '17',
  });
  const publisher = { publishAll: () => audited().then(() => (done.push('audit'), [])) };
  const evidences = new DpiaEvidences({
    audit: new AuditLog(publisher, '/test'),
    governance: { state: NOTHING_DECIDED, history: [] },
    galleries: {
      list: () => {
        done.push('gallery');
        const model = { name: 'm', version: '1', licence: 'MIT', licenceHolder: 'h', evaluationOnly: true, note: '' };
        return Promise.resolve({ galleries: [{ modelId: 'a0d170a0d170a0d1', model, enrolled: 3, complete: false }] });
      },
    } as unknown as ConstructorParameters<typeof DpiaEvidences>[0]['galleries'],
    register: { countReviewsDue: () => 2 },
    retentionPolicy,
    searches: { countWithoutOutcome: () => 4 },
    usage: {
      count: ({ suppressBelow }) =>
        Promise.resolve({ generatedAt: '', from: null, to: null, suppressBelow, rows: [], notes: [] }),
    },
    auditView: { size: 12, lastCheckpoint: () => ({ origin: 'o', size: 10, root: Buffer.alloc(32), note: 'note\n' }) },
    auditKeys: [],
    topics: {
      checkTopics: (desired: readonly DesiredTopic[]) =>
        Promise.resolve({
          created: [],
          altered: [],
          unchanged: [],
          leftAlone: [],
          differing: [{ topic: desired[0]!.name, setting: 'retention.ms', wanted: '1', found: '2' }],
        }),
    },
    topicsWanted,
    routes,
    settings,
    version: '1.2.3',
  });
  return { evidences, done };
}

describe('the evidence for an impact assessment', () => {
  it('shows the settings that matter and no file, key, broker or address', async () => {
    const evidence = await evidencesOf().evidences.gather(dataProtection, everything);
    expect(evidence.settings).toMatchObject({ RATE_LIMIT: 17, DEPLOYMENT: 'local', PEER_REVIEW: 'off' });
    expect(JSON.stringify(evidence)).not.toContain(FOUND_OUT);
    const withheld = Object.keys(SETTINGS).filter((name) => !(SETTINGS_SHOWN as readonly string[]).includes(name));
    expect(withheld).toEqual(expect.arrayContaining(['AUDIT_SEAL_KEY_FILE', 'ASSERTION_KEY_FILE', 'AUTH_JWKS']));
    expect(Object.keys(evidence.settings)).toEqual([...SETTINGS_SHOWN]);
  });

  it('says of each topic how long it is kept, and where Kafka keeps it otherwise', async () => {
    const { topics } = await evidencesOf().evidences.gather(dataProtection, everything);
    expect(topics.map(({ name }) => name)).toEqual(topicsWanted.map(({ name }) => name));
    expect(topics[0]?.differing).toEqual([{ setting: 'retention.ms', wanted: '1', found: '2' }]);
    expect(topics.slice(1).flatMap(({ differing }) => differing)).toEqual([]);
  });

  it('says which calls each role may make, as the guard has it', async () => {
    const { roles } = await evidencesOf().evidences.gather(dataProtection, everything);
    expect(roles.filter(({ calls }) => calls.length > 0)).toEqual([
      { role: 'data-protection', calls: ['GET /v1/reports/dpia'] },
      { role: 'auditor', calls: ['GET /v1/audit', 'GET /v1/reports/dpia'] },
    ]);
  });

  it('says how much of the audit its checkpoint covers, and that a part of the gallery did not answer', async () => {
    const evidence = await evidencesOf().evidences.gather(dataProtection, everything);
    expect(evidence.audit).toEqual({ entries: 12, sealed: 10, unsealed: 2, checkpoint: 'note\n', verifierKeys: [] });
    expect(evidence.gallery).toEqual({ enrolled: 3, complete: false, reviewsDue: 2 });
    expect(evidence.operatorSearchesWithoutOutcome).toBe(4);
  });

  it('is in the audit before anything is gathered, and not given when it cannot be', async () => {
    const { evidences, done } = evidencesOf();
    await evidences.gather(dataProtection, everything);
    expect(done[0]).toBe('audit');
    const away = evidencesOf(() => Promise.reject(new Error('away')));
    expect(await codeOfAsync(() => away.evidences.gather(dataProtection, everything))).toBe('AUDIT_UNAVAILABLE');
    expect(away.done).toEqual([]);
  });
});
