/** The first look: is anything wrong, is what was promised kept, and where does it go wrong. */
import { mean, of, perMinute, quantile, type DashboardFacts } from './panels.js';

const OPERATOR = 'kind="operator"';
/** What has a service's name: in Kubernetes from the pod's label, elsewhere from prometheus.yaml. */
const SERVICES = 'service=~"ingest|index|query|audit-sealer"';

/** What is left of what an objective of 30 days allows to go wrong: 1 when nothing did, below 0 when it is missed. */
function budgetLeft(bad: string, all: string, allowed: number): string {
  return `1 - (${bad}) / (${all}) / ${allowed}`;
}

const in30Days = (metric: string, selector = ''): string =>
  `sum(increase(${metric}${selector === '' ? '' : `{${selector}}`}[30d]))`;
const accepted = in30Days('custody_searches_total', `${OPERATOR},outcome!="refused"`);
const answered = in30Days('custody_search_duration_seconds_count', OPERATOR);
const enrolled = in30Days('custody_enrol_to_searchable_seconds_count');

export function serviceOverview(alertNames: readonly string[]): DashboardFacts {
  const ours = `alertstate="firing",alertname=~"${alertNames.join('|')}"`;
  return {
    name: 'service-overview',
    title: 'service overview',
    about: 'Is anything wrong, is what was promised kept, and where is it slow.',
    panels: [
      {
        kind: 'stat',
        title: 'Does every process answer?',
        look: 'Processes that answer their monitoring, by service. Red: none of that service does.',
        unit: 'short',
        goodFrom: 1,
        runbooks: ['TargetDown'],
        queries: [{ expr: `sum by (service) (up{${SERVICES}})`, legend: '{{service}}' }],
      },
      {
        kind: 'stat',
        title: 'How many alerts fire?',
        look: 'A page wants somebody now, a ticket in the morning. Which they are is told further down.',
        unit: 'short',
        badAt: 1,
        queries: ['page', 'ticket'].map((severity) => ({
          expr: `count(ALERTS{severity="${severity}",${ours}}) or vector(0)`,
          legend: `${severity}s`,
        })),
      },
      {
        kind: 'stat',
        title: 'How much of 30 days’ error budget is left?',
        look:
          'What each objective still allows to go wrong: 100 % when nothing did, below 0 when it is missed. ' +
          'Availability: 1 operator-initiated search in 1,000 fails or is incomplete. Latency: 1 in 100 takes longer than a second. ' +
          'Freshness: 1 image in 100 is not searchable within a minute.',
        unit: 'percentunit',
        goodFrom: 0.1,
        decimals: 0,
        width: 12,
        runbooks: ['OperatorSearchAvailabilitySlowBurn', 'OperatorSearchLatencyBurn', 'EnrolmentFreshnessBurn'],
        queries: [
          {
            expr: budgetLeft(
              in30Days('custody_searches_total', `${OPERATOR},outcome=~"failed|partial"`),
              accepted,
              0.001,
            ),
            legend: 'availability',
          },
          {
            expr: budgetLeft(
              `${answered} - ${in30Days('custody_search_duration_seconds_bucket', `${OPERATOR},le="1"`)}`,
              answered,
              0.01,
            ),
            legend: 'latency',
          },
          {
            expr: budgetLeft(
              `${enrolled} - ${in30Days('custody_enrol_to_searchable_seconds_bucket', 'le="60"')}`,
              enrolled,
              0.01,
            ),
            legend: 'freshness',
          },
        ],
      },
      {
        kind: 'series',
        title: 'How fast is the error budget burnt?',
        look:
          'At 1 an objective is just met at the end of the month. A page is sent above 6 over six hours or 14.4 over one. ' +
          'This is the last hour; it is empty where nothing was asked for.',
        unit: 'short',
        warnAt: 6,
        badAt: 14.4,
        min: 0,
        runbooks: ['OperatorSearchAvailabilityBurn', 'OperatorSearchLatencyBurn', 'EnrolmentFreshnessBurn'],
        queries: [
          { expr: 'custody:operator_search_failures:ratio_rate1h / 0.001', legend: 'availability' },
          { expr: 'custody:operator_search_slow:ratio_rate1h / 0.01', legend: 'latency' },
          { expr: 'custody:enrolment_late:ratio_rate1h / 0.01', legend: 'freshness' },
        ],
      },
      {
        kind: 'series',
        title: 'What becomes of searches?',
        look:
          '“failed” and “partial” are ours to mend; “refused” was answered with why. ' +
          'A search that found nobody is no failure.',
        unit: 'cpm',
        min: 0,
        stacked: true,
        runbooks: ['OperatorSearchAvailabilityBurn', 'GallerySearchesIncomplete'],
        queries: [{ expr: perMinute('custody_searches_total', '', 'kind, outcome'), legend: '{{kind}}: {{outcome}}' }],
      },
      {
        kind: 'series',
        title: 'How long does an officer wait?',
        look:
          'From the accepted request to the answer; 99 of 100 within a second. The points are single searches: ' +
          'one leads to its trace. What takes the time is beside.',
        unit: 's',
        badAt: 1,
        min: 0,
        runbooks: ['OperatorSearchLatencyBurn'],
        queries: [
          {
            expr: quantile(0.99, 'custody_search_duration_seconds', OPERATOR),
            legend: '99 of 100',
            exemplar: true,
          },
          { expr: quantile(0.5, 'custody_search_duration_seconds', OPERATOR), legend: 'half' },
        ],
      },
      {
        kind: 'series',
        title: 'Where does an officer’s time go?',
        look:
          '“detect” and “embed” are the networks: processor. “gallery” is Kafka there and back and the engine: ' +
          'see the dashboards of the gallery and of Kafka. “audit” waits for Kafka to have the entry.',
        unit: 's',
        min: 0,
        stacked: true,
        runbooks: ['OperatorSearchLatencyBurn'],
        queries: [{ expr: mean('custody_search_stage_duration_seconds', OPERATOR, 'stage'), legend: '{{stage}}' }],
      },
      {
        kind: 'series',
        title: 'Do retrospective searches pile up?',
        decimals: 0,
        look: 'They run one at a time in each replica. Above a hundred for half an hour: more replicas, or less at once.',
        unit: 'short',
        badAt: 100,
        min: 0,
        runbooks: ['RetrospectiveSearchesWaiting'],
        queries: [{ expr: `sum(${of('custody_retrospective_searches_waiting')})`, legend: 'waiting' }],
      },
      {
        kind: 'series',
        title: 'Is any process blocked?',
        look: 'The event loop’s delay, 99 of 100. Half a second for ten minutes: the process does what a worker should.',
        unit: 's',
        badAt: 0.5,
        min: 0,
        runbooks: ['EventLoopBlocked'],
        queries: [{ expr: of('nodejs_eventloop_lag_p99_seconds'), legend: '{{service}} {{instance}}' }],
      },
      {
        kind: 'series',
        title: 'How many processors are busy?',
        look: 'By process. At its limit a pod is slowed down: give ingest and query more pods, the index more processors.',
        unit: 'short',
        min: 0,
        queries: [
          { expr: `rate(${of('process_cpu_seconds_total')}[$__rate_interval])`, legend: '{{service}} {{instance}}' },
        ],
      },
      {
        kind: 'series',
        title: 'How much memory is taken?',
        look: 'By process, beside its limit. The index grows with the gallery; the others stay as they are.',
        unit: 'bytes',
        min: 0,
        queries: [{ expr: of('process_resident_memory_bytes'), legend: '{{service}} {{instance}}' }],
      },
      {
        kind: 'series',
        title: 'Is any clock off?',
        look: 'Against the clock of the monitoring. Above a second assertions are refused and deadlines missed: see to NTP.',
        unit: 's',
        badAt: 1,
        min: 0,
        runbooks: ['ClockSkew'],
        queries: [
          {
            expr: `abs(${of('custody_clock_seconds')} - timestamp(${of('custody_clock_seconds')}))`,
            legend: '{{service}} {{instance}}',
          },
        ],
      },
      {
        kind: 'timeline',
        title: 'Which alerts fire?',
        look: 'Empty when none does. Each has a runbook of its name.',
        unit: 'short',
        noValue: 'none',
        badAt: 1,
        queries: [{ expr: `max by (alertname) (ALERTS{${ours}})`, legend: '{{alertname}}' }],
      },
    ],
  };
}
