/** Kafka as the services feel it. The brokers themselves have dashboards of their own, which come with their operator. */
import { mean, of, perMinute, quantile, type DashboardFacts } from './panels.js';

const LAG = 'custody_consumer_lag_records';

export const kafka: DashboardFacts = {
  name: 'kafka',
  title: 'Kafka',
  about:
    'Kafka as the services feel it: what waits, how long a write and a round trip take, what had to be put right. ' +
    'Brokers, disks and under-replicated partitions are on the dashboards that come with their operator.',
  panels: [
    {
      kind: 'stat',
      title: 'How much waits in all?',
      look: 'Records that a process has not handled yet, of all topics. Which, and in which process, is below.',
      unit: 'locale',
      width: 12,
      runbooks: ['EnrolmentStalled'],
      queries: [{ expr: `sum(${of(LAG)})`, legend: 'waiting' }],
    },
    {
      kind: 'stat',
      title: 'Were queries read too late?',
      look: 'Gallery queries of an hour that were read after their deadline and not answered.',
      width: 12,
      unit: 'short',
      badAt: 1,
      decimals: 0,
      runbooks: ['GalleryQueriesExpired'],
      queries: [{ expr: `sum(increase(${of('custody_gallery_queries_expired_total')}[1h]))`, legend: 'expired' }],
    },
    {
      kind: 'series',
      title: 'Does what waits grow or fall?',
      decimals: 0,
      look: 'By topic and process. All stand still at once: the brokers. It grows in one process: that one. In all of a topic: more pods, or the brokers.',
      unit: 'locale',
      min: 0,
      runbooks: ['EnrolmentStalled', 'TargetDown'],
      queries: [{ expr: of(LAG), legend: '{{topic}} {{instance}}' }],
    },
    {
      kind: 'series',
      title: 'How long does a write take?',
      look:
        'Until the brokers have it: the audit entry of a search, that of an image, and a template. ' +
        'All rise together: the brokers’ disks or network.',
      unit: 's',
      min: 0,
      queries: [
        {
          expr: mean('custody_search_stage_duration_seconds', 'stage="audit"', 'kind'),
          legend: 'audit, {{kind}} search',
        },
        {
          expr: mean('custody_image_stage_duration_seconds', 'stage=~"audit|publish"', 'stage'),
          legend: '{{stage}}, image',
        },
      ],
    },
    {
      kind: 'series',
      title: 'How long does a question to the gallery take?',
      look:
        'From the query being written to the last answer: two hops through Kafka and the engine. The engine alone is ' +
        'shown with it: what lies between the two is Kafka.',
      unit: 's',
      min: 0,
      runbooks: ['OperatorSearchLatencyBurn', 'GalleryQueriesExpired'],
      queries: [
        {
          expr: quantile(0.99, 'custody_search_stage_duration_seconds', 'stage="gallery"'),
          legend: 'there and back, 99 of 100',
        },
        {
          expr: mean('custody_search_stage_duration_seconds', 'stage="gallery"'),
          legend: 'there and back, mean',
        },
        { expr: mean('custody_gallery_query_duration_seconds'), legend: 'the engine, mean' },
      ],
    },
    {
      kind: 'series',
      title: 'How much is handled?',
      look: 'Records on custody.images, commands about searches, and queries that workers answered.',
      unit: 'cpm',
      min: 0,
      queries: [
        { expr: perMinute('custody_images_total'), legend: 'images' },
        { expr: perMinute('custody_search_commands_total'), legend: 'commands' },
        { expr: perMinute('custody_gallery_query_duration_seconds_count'), legend: 'gallery queries' },
      ],
    },
    {
      kind: 'series',
      title: 'Does anything write late or wrongly?',
      look:
        'Records of an hour that the index put right in the log, by kind, and records that it could not use. ' +
        'A few after a failover are normal; a hundred an hour means that some writer is behind or broken.',
      unit: 'short',
      badAt: 100,
      min: 0,
      decimals: 0,
      runbooks: ['GalleryRepairs', 'GalleryImagesUnusable'],
      queries: [
        {
          expr: `sum by (kind) (increase(${of('custody_gallery_repairs_total')}[1h]))`,
          legend: 'put right: {{kind}}',
        },
        {
          expr: `sum(increase(${of('custody_gallery_unusable_records_total')}[1h]))`,
          legend: 'unusable, to dead letters',
        },
      ],
    },
    {
      kind: 'series',
      title: 'How long does an image take through both topics?',
      look: 'From the broker accepting the image to its template being searchable. Beside what waits: is it the queue?',
      unit: 's',
      badAt: 60,
      min: 0,
      runbooks: ['EnrolmentFreshnessBurn'],
      queries: [
        { expr: quantile(0.99, 'custody_enrol_to_searchable_seconds', '', 'instance'), legend: '{{instance}}' },
      ],
    },
  ],
};
