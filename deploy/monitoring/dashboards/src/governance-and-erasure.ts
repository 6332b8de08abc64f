/** What those who answer for the searches ask: how many, with what result, reviewed by whom, sealed, and erased in time. */
import { of, perMinute, quantile, type DashboardFacts } from './panels.js';

const inRange = (metric: string, by: string, selector = ''): string =>
  `sum by (${by}) (increase(${of(metric, selector)}[$__range]))`;

export const governanceAndErasure: DashboardFacts = {
  name: 'governance-and-erasure',
  title: 'governance and erasure',
  about: 'How much is searched and with what result, what waits for a person, and whether the erased is gone in time.',
  panels: [
    {
      kind: 'stat',
      title: 'How much was searched?',
      look: 'In the time shown, by kind. The published figures come from `custody report usage`, not from here.',
      unit: 'locale',
      decimals: 0,
      queries: [{ expr: inRange('custody_searches_total', 'kind'), legend: '{{kind}}' }],
    },
    {
      kind: 'stat',
      title: 'Is searching suspended?',
      look: '1 while that kind of search is suspended. It takes two people to lift it.',
      unit: 'short',
      badAt: 1,
      runbooks: ['SearchesSuspended'],
      queries: [{ expr: `max by (kind) (${of('custody_searches_suspended')})`, legend: '{{kind}}' }],
    },
    {
      kind: 'stat',
      title: 'What waits for a person?',
      look:
        'Operator-initiated searches of which nobody has recorded what came of them (more than 50 for a day: remind them), ' +
        'and images whose retention is to be reviewed.',
      unit: 'locale',
      width: 12,
      runbooks: ['OutcomesMissing', 'ReviewsOverdue'],
      queries: [
        { expr: `max(${of('custody_operator_searches_without_outcome')})`, legend: 'searches without outcome' },
        { expr: `max(${of('custody_reviews_due')})`, legend: 'reviews due' },
      ],
    },
    {
      kind: 'stat',
      title: 'Is every erasure in time?',
      look: 'Images that are erased and were not destroyed in every store within the bound.',
      unit: 'short',
      badAt: 1,
      runbooks: ['GalleryErasuresLate'],
      queries: [{ expr: `max(${of('custody_erasures_late')})`, legend: 'late' }],
    },
    {
      kind: 'stat',
      title: 'Is the audit log sealed?',
      look:
        'Time since the oldest entry that no signed checkpoint covers. Above ten seconds nobody seals; ' +
        'after a minute that is a page.',
      unit: 's',
      warnAt: 10,
      badAt: 60,
      decimals: 1,
      runbooks: ['AuditUnsealed'],
      queries: [{ expr: `max(${of('custody_audit_unsealed_age_seconds')})`, legend: 'unsealed for' }],
    },
    {
      kind: 'stat',
      title: 'Does the append-only copy have every seal?',
      look:
        'Time since the oldest sealed entry whose seal the copy lacks. It grows while the folder of the copy cannot be ' +
        'written; after some minutes that is a page.',
      unit: 's',
      warnAt: 10,
      badAt: 60,
      decimals: 1,
      runbooks: ['AuditCopyBehind'],
      queries: [{ expr: `max(${of('custody_audit_uncopied_age_seconds')})`, legend: 'behind for' }],
    },
    {
      kind: 'stat',
      title: 'Has sealing failed?',
      look:
        'In a day. “history-changed”: the log is not an extension of what was sealed; nothing is signed any more, ' +
        'and somebody must look at once.',
      unit: 'short',
      badAt: 1,
      decimals: 0,
      width: 12,
      runbooks: ['AuditHistoryChanged', 'AuditUnsealed', 'AuditCopyBehind'],
      queries: [
        {
          expr: `sum by (reason) (increase(${of('custody_audit_seal_failures_total')}[1d]))`,
          legend: '{{reason}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'How often does anybody reach the threshold?',
      look:
        'Share of the judged searches with a candidate at or above the threshold, by the version that judged. ' +
        'A step with a new version, or a slow rise with the gallery: evaluate again.',
      unit: 'percentunit',
      min: 0,
      max: 1,
      queries: [
        {
          expr:
            `sum by (kind, threshold_version) (rate(${of('custody_searches_by_threshold_total', 'result="candidates"')}[$__rate_interval]))` +
            ` / sum by (kind, threshold_version) (rate(${of('custody_searches_by_threshold_total')}[$__rate_interval]))`,
          legend: '{{kind}}, version {{threshold_version}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'How many candidates are shown?',
      look: 'At or above the threshold, by the version that judged: what people are asked to look at.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      queries: [
        {
          expr: perMinute('custody_search_candidates_total', '', 'kind, threshold_version'),
          legend: '{{kind}}, version {{threshold_version}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'Is the review of searches worked on?',
      look:
        'Commands about retrospective searches by what became of them. “conflict”: somebody else was first. ' +
        '“refused”: the rules forbid it.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      queries: [
        {
          expr: perMinute('custody_search_commands_total', '', 'command, result'),
          legend: '{{command}}: {{result}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'Who is turned away by a limit?',
      look: 'By kind of search. Many: a device that repeats itself, or a limit that is too low for the work.',
      unit: 'cpm',
      min: 0,
      queries: [{ expr: perMinute('custody_rate_limited_total', '', 'kind'), legend: '{{kind}}' }],
    },
    {
      kind: 'series',
      title: 'How many erased images are not yet destroyed?',
      decimals: 0,
      look: 'They are unsearchable at once; the stores follow within the bound (ERASURE_DESTRUCTION_SECONDS).',
      unit: 'short',
      min: 0,
      runbooks: ['GalleryErasuresLate'],
      queries: [
        { expr: `max(${of('custody_erasures_pending')})`, legend: 'pending' },
        { expr: `max(${of('custody_erasures_late')})`, legend: 'late' },
      ],
    },
    {
      kind: 'series',
      title: 'How long does destruction take?',
      look: 'From an erasure taking effect to the last store having destroyed the image, over an hour.',
      unit: 's',
      min: 0,
      runbooks: ['GalleryErasuresLate'],
      queries: [0.99, 0.5].map((q) => ({
        expr: quantile(q, 'custody_erasure_destruction_seconds').replace('$__rate_interval', '1h'),
        legend: q === 0.5 ? 'half' : '99 of 100',
      })),
    },
    {
      kind: 'series',
      title: 'Is everything audited, and sealed?',
      look: 'Entries and signed checkpoints. Entries without checkpoints: nobody seals.',
      unit: 'cpm',
      min: 0,
      runbooks: ['AuditUnsealed'],
      queries: [
        {
          expr: `60 * max(deriv(${of('custody_audit_log_records')}[$__rate_interval]))`,
          legend: 'entries',
        },
        { expr: perMinute('custody_audit_checkpoints_total'), legend: 'checkpoints' },
      ],
    },
    {
      kind: 'series',
      title: 'How much is not sealed yet?',
      decimals: 0,
      look:
        'Entries that no signed checkpoint covers, a few between two checkpoints; and entries whose seal the ' +
        'append-only copy lacks.',
      unit: 'locale',
      min: 0,
      runbooks: ['AuditUnsealed', 'AuditCopyBehind'],
      queries: [
        { expr: `max(${of('custody_audit_unsealed_records')})`, legend: 'unsealed' },
        { expr: `max(${of('custody_audit_uncopied_records')})`, legend: 'sealed, not copied' },
      ],
    },
  ],
};
