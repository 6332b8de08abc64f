/** What is searched, whether all of it, how fast, and whether the graph finds what a full scan finds. */
import { mean, of, perMinute, quantile, type DashboardFacts } from './panels.js';

const SEARCHABLE = 'state="searchable"';

export const galleryAndRecall: DashboardFacts = {
  name: 'gallery-and-recall',
  title: 'gallery and recall',
  about: 'What is searched, whether all of it is, how fast, and whether the graph finds what a full scan finds.',
  panels: [
    {
      kind: 'stat',
      title: 'How many templates can be found?',
      look: 'Searchable templates of all shards, each counted once however many replicas hold it.',
      unit: 'locale',
      queries: [
        {
          expr: `sum(max by (shard) (${of('custody_gallery_templates', SEARCHABLE)}))`,
          legend: 'searchable',
        },
      ],
    },
    {
      kind: 'stat',
      title: 'How many replicas hold each shard?',
      look: 'By shard and worker. One is left: the next loss makes answers incomplete.',
      unit: 'short',
      goodFrom: 2,
      runbooks: ['ShardDown'],
      queries: [
        { expr: `count by (shard) (${of('custody_gallery_templates', SEARCHABLE)})`, legend: 'shard {{shard}}' },
      ],
    },
    {
      kind: 'stat',
      title: 'Does the gallery lack anything?',
      look:
        'Images that are not searched because their record cannot be used; partitions of which two replicas hold ' +
        'different things; searches of the last hour whose answer was incomplete.',
      unit: 'short',
      badAt: 1,
      decimals: 0,
      width: 12,
      runbooks: ['GalleryImagesUnusable', 'GalleryDigestMismatch', 'GallerySearchesIncomplete'],
      queries: [
        { expr: `sum(max by (shard) (${of('custody_gallery_unusable_images')}))`, legend: 'unusable images' },
        {
          expr: `count(max by (partition) (${of('custody_gallery_digest_mismatch')}) > 0) or vector(0)`,
          legend: 'unequal partitions',
        },
        { expr: `sum(increase(${of('custody_searches_incomplete_total')}[1h]))`, legend: 'incomplete searches' },
      ],
    },
    {
      kind: 'series',
      title: 'Does the graph find what a full scan finds?',
      look:
        'Of the approximate searches that were done again exactly: how often the first candidate was the same, and ' +
        'what share of the images was found. Below 98 % people are missed: rebuild, or search exactly. ' +
        'Empty where every search is exact.',
      unit: 'percentunit',
      goodFrom: 0.98,
      max: 1,
      runbooks: ['GalleryRecallLow'],
      queries: [
        {
          expr: `min by (shard) (${of('custody_gallery_mate_top1_ratio')})`,
          legend: 'same first, shard {{shard}}',
        },
        { expr: `min by (shard) (${of('custody_gallery_recall_ratio')})`, legend: 'recall, shard {{shard}}' },
      ],
    },
    {
      kind: 'series',
      title: 'From how many samples is that known?',
      look: 'Approximate searches of the last day that were done again. Below 200 the alert does not judge.',
      unit: 'short',
      min: 0,
      decimals: 0,
      runbooks: ['GalleryRecallLow'],
      queries: [
        {
          expr: `sum by (shard) (increase(${of('custody_gallery_recall_samples_total')}[1d]))`,
          legend: 'shard {{shard}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'How long does the engine take?',
      look: 'One worker’s share of one search, by the mode used. Exact grows with the gallery: add shards or workers.',
      unit: 's',
      min: 0,
      queries: [
        { expr: quantile(0.99, 'custody_gallery_query_duration_seconds', '', 'mode'), legend: '{{mode}}, 99 of 100' },
        { expr: mean('custody_gallery_query_duration_seconds', '', 'mode'), legend: '{{mode}}, mean' },
      ],
    },
    {
      kind: 'series',
      title: 'Exact or approximate?',
      look:
        'Queries that workers answered. Retrospective searches are always exact. Operator-initiated ones turn exact ' +
        'when a graph is being rebuilt or far behind.',
      unit: 'cpm',
      min: 0,
      stacked: true,
      queries: [{ expr: perMinute('custody_gallery_query_duration_seconds_count', '', 'mode'), legend: '{{mode}}' }],
    },
    {
      kind: 'series',
      title: 'What do the shards hold?',
      decimals: 0,
      look:
        'The most of any replica. “suppressed”: a direction forbids to find it. “tombstone”: deleted, and walked through ' +
        'until the graph is rebuilt.',
      unit: 'locale',
      min: 0,
      queries: [
        {
          expr: `sum by (state) (max by (shard, state) (${of('custody_gallery_templates')}))`,
          legend: '{{state}}',
        },
      ],
    },
    {
      kind: 'series',
      title: 'Is a graph due to be rebuilt?',
      look:
        'Deleted nodes as a share of all. Rebuilt above 20 %, from a thousand nodes on; ' +
        'still above 30 % after an hour: it is not.',
      unit: 'percentunit',
      warnAt: 0.2,
      badAt: 0.3,
      min: 0,
      runbooks: ['GalleryTombstones'],
      queries: [{ expr: `max by (shard) (${of('custody_gallery_tombstone_ratio')})`, legend: 'shard {{shard}}' }],
    },
    {
      kind: 'series',
      title: 'How far is the graph behind?',
      decimals: 0,
      look: 'Templates that are looked at one by one, because the graph has not got them. Above 4,096 searches are exact.',
      unit: 'locale',
      warnAt: 4_096,
      min: 0,
      queries: [{ expr: `max by (shard) (${of('custody_gallery_pending_templates')})`, legend: 'shard {{shard}}' }],
    },
    {
      kind: 'series',
      title: 'How old is the newest snapshot?',
      look:
        'A restart replays what came after it. It ages while nothing changes; while templates change, more than an ' +
        'hour wants a look.',
      unit: 's',
      min: 0,
      runbooks: ['GallerySnapshotProblem'],
      queries: [{ expr: of('custody_snapshot_age_seconds'), legend: 'shard {{shard}} {{instance}}' }],
    },
    {
      kind: 'series',
      title: 'How long does a snapshot take?',
      look: 'Writing it and reading it again. It grows with the gallery, and with a disk that is slow or full.',
      unit: 's',
      min: 0,
      runbooks: ['GallerySnapshotProblem'],
      queries: [{ expr: mean('custody_snapshot_duration_seconds', '', 'shard'), legend: 'shard {{shard}}' }],
    },
    {
      kind: 'series',
      title: 'Can every shard write its snapshot?',
      look: '1 while the last one could not be written. Restarts take longer, and erasures wait for their files.',
      unit: 'short',
      badAt: 1,
      min: 0,
      noValue: 'every shard can',
      runbooks: ['GallerySnapshotProblem'],
      queries: [
        { expr: `max by (shard, code) (${of('custody_snapshot_problem')})`, legend: 'shard {{shard}}: {{code}}' },
      ],
    },
    {
      kind: 'series',
      title: 'How far is the gallery of the next model?',
      look:
        'Only while one is built beside. Records that it has not followed yet, and images that it lacks; ' +
        'switch when both are 0.',
      unit: 'locale',
      min: 0,
      noValue: 'no other model is prepared',
      runbooks: ['GenerationBuildStalled'],
      queries: [
        { expr: `max by (model) (${of('custody_generation_lag_records')})`, legend: '{{model}}: to follow' },
        { expr: `max by (model) (${of('custody_generation_gap_records')})`, legend: '{{model}}: lacking' },
      ],
    },
  ],
};
