/** From a custody image's arrival to its template being found: how many, how fast, and which are refused for what. */
import { mean, of, perMinute, quantile, type DashboardFacts } from './panels.js';

const IMAGES = 'custody_images_total';
/** A code that has not been met has no series. */
const in6Hours = (outcomes: string): string =>
  `(sum(increase(${of(IMAGES, `outcome=~"${outcomes}"`)}[6h])) or vector(0))`;

export const ingestAndRefusals: DashboardFacts = {
  name: 'ingest-and-refusals',
  title: 'ingest and refusals',
  about: 'From a custody image’s arrival to its template being found: how many, how fast, which are refused and why.',
  panels: [
    {
      kind: 'stat',
      title: 'How many images wait?',
      look: 'On custody.images.v1 and not handled yet. Autoscaling adds pods; see beside whether it falls.',
      unit: 'locale',
      queries: [
        {
          expr: `sum(${of('custody_consumer_lag_records', 'topic="custody.images.v1"')})`,
          legend: 'waiting',
        },
      ],
    },
    {
      kind: 'stat',
      title: 'What share is refused?',
      look: 'Of six hours. Above a fifth: a camera, an export or a new source. The codes are below.',
      unit: 'percentunit',
      badAt: 0.2,
      decimals: 1,
      runbooks: ['ImagesRefusedOften'],
      queries: [{ expr: `${in6Hours('refused')} / ${in6Hours('refused|enrolled')}`, legend: 'refused' }],
    },
    {
      kind: 'stat',
      title: 'How many failed by our fault?',
      look: 'Of six hours. They are in dead letters with their cause, and can be sent again.',
      unit: 'short',
      badAt: 1,
      decimals: 0,
      runbooks: ['ImagesFailing'],
      queries: [{ expr: in6Hours('failed'), legend: 'failed' }],
    },
    {
      kind: 'stat',
      title: 'What share is found in time?',
      look: 'Searchable within a minute, of an hour. The objective is 99 of 100 over 30 days.',
      unit: 'percentunit',
      goodFrom: 0.99,
      decimals: 1,
      runbooks: ['EnrolmentFreshnessBurn'],
      queries: [{ expr: '1 - custody:enrolment_late:ratio_rate1h', legend: 'within a minute' }],
    },
    {
      kind: 'series',
      title: 'What becomes of images?',
      look: '“superseded”: a later record was faster. Nothing while images wait: ingest is stuck.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      runbooks: ['EnrolmentStalled', 'ImagesFailing'],
      queries: [{ expr: perMinute(IMAGES, '', 'outcome'), legend: '{{outcome}}' }],
    },
    {
      kind: 'series',
      title: 'Why are images refused or failed?',
      look: 'By code; docs/errors.md says of each what the sender can do.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      runbooks: ['ImagesRefusedOften', 'ImagesFailing'],
      queries: [{ expr: perMinute(IMAGES, 'outcome=~"refused|failed"', 'reason'), legend: '{{reason}}' }],
    },
    {
      kind: 'series',
      title: 'How soon can an image be found?',
      look: 'From the broker accepting it to its template being searchable, as each index process sees it.',
      unit: 's',
      badAt: 60,
      min: 0,
      runbooks: ['EnrolmentFreshnessBurn', 'EnrolmentStalled'],
      queries: [
        { expr: quantile(0.99, 'custody_enrol_to_searchable_seconds'), legend: '99 of 100' },
        { expr: quantile(0.5, 'custody_enrol_to_searchable_seconds'), legend: 'half' },
      ],
    },
    {
      kind: 'series',
      title: 'Where does the time of an image go?',
      look: 'The mean of each stage. “detect” and “embed”: processor. “store”: the image store. “audit” and “publish”: Kafka.',
      unit: 's',
      min: 0,
      stacked: true,
      runbooks: ['EnrolmentFreshnessBurn'],
      queries: [{ expr: mean('custody_image_stage_duration_seconds', '', 'stage'), legend: '{{stage}}' }],
    },
    {
      kind: 'series',
      title: 'Does what waits grow or fall?',
      decimals: 0,
      look: 'Images waiting, by process. One that stands still while others fall: look at that process.',
      unit: 'locale',
      min: 0,
      runbooks: ['EnrolmentStalled'],
      queries: [{ expr: of('custody_consumer_lag_records', 'topic="custody.images.v1"'), legend: '{{instance}}' }],
    },
    {
      kind: 'series',
      title: 'What does the builder of the next model’s gallery do?',
      look: 'Only while it runs. “lacking”: an image that the new model cannot use.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      noValue: 'no other model is prepared',
      runbooks: ['GenerationBuildStalled'],
      queries: [{ expr: perMinute('custody_generation_images_total', '', 'outcome'), legend: '{{outcome}}' }],
    },
  ],
};
