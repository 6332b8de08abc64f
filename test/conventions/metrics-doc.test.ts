import { describe, expect, it } from 'vitest';
import { IndexMetrics, IngestMetrics, QueryMetrics, type Metrics } from '#platform/metrics.js';
import { plain, readProjectFile, tableRows } from './project-files.js';

const SERVICES: readonly (readonly [string, Metrics])[] = [
  ['ingest', new IngestMetrics()],
  ['index', new IndexMetrics()],
  ['query', new QueryMetrics()],
];
/** `_total` counts what its name says; `_templates`, `_records` and what waits or is due go up and down. */
const UNITS =
  /_(seconds|bytes|ratio|total|templates|records|waiting|due|without_outcome|suspended|images|problem|mismatch|pending|late)$/;

interface RegisteredMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** The service that has it, or `all`. */
  readonly service: string;
}

/** prom-client keeps the label names on its metrics without declaring them. */
type DeclaredLabels = { readonly labelNames: readonly string[] };

function registered(): RegisteredMetric[] {
  const services = new Map<string, string[]>();
  const facts = new Map<string, Omit<RegisteredMetric, 'service'>>();
  for (const [service, { registry }] of SERVICES) {
    for (const metric of registry.getMetricsAsArray()) {
      const { name } = metric;
      if (!name.startsWith('custody_')) continue;
      services.set(name, [...(services.get(name) ?? []), service]);
      facts.set(name, {
        name,
        type: String(metric.type),
        labels: (metric as unknown as DeclaredLabels).labelNames.toSorted(),
      });
    }
  }
  return [...facts.values()]
    .map((fact) => {
      const of = services.get(fact.name)!;
      return { ...fact, service: of.length === SERVICES.length ? 'all' : of.join(', ') };
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function documented(): RegisteredMetric[] {
  return tableRows(readProjectFile('docs/metrics.md'), 'Of this project')
    .map((row) => ({
      name: plain(row['Name']),
      type: row['Type'] ?? '',
      labels: [...(row['Labels'] ?? '').matchAll(/`(\w+)`/g)].map((match) => match[1]!).toSorted(),
      service: row['Service'] ?? '',
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

describe('docs/metrics.md', () => {
  it('has each metric with its type, labels and service, and no other', () => {
    expect(documented()).toEqual(registered());
  });

  it.each(registered())('$name ends in its unit', ({ name, type }) => {
    expect(name).toMatch(UNITS);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    if (type === 'histogram') expect(name).toMatch(/_seconds$/);
  });

  it.each(registered())('$name has no label that could hold an id', ({ labels }) => {
    for (const label of labels) expect(label).not.toMatch(/id$|subject|image|actor|person/i);
  });
});
