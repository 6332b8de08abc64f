import Table from 'cli-table3';
import {
  OPERATOR_USE_OUTCOMES,
  RETROSPECTIVE_USE_OUTCOMES,
  type UsageReport,
  type UsageRow,
} from '#domain/usage-report.js';
import type { Settings } from '#platform/settings.js';
import { ServiceClient } from './service-client.js';

/** As the options of a command give it; checked by the service. */
export interface UsagePeriod {
  readonly from?: string;
  readonly to?: string;
  readonly suppressBelow?: string;
}

export interface UsageReportOptions extends UsagePeriod {
  readonly json?: boolean;
  readonly csv?: boolean;
}

const OUTCOMES = [...OPERATOR_USE_OUTCOMES, ...RETROSPECTIVE_USE_OUTCOMES];
const COLUMNS = ['month', 'kind', 'ground', 'searches', 'hits', 'wrong leads', ...OUTCOMES];

export async function reportUsage(settings: Settings, options: UsageReportOptions): Promise<void> {
  const report = await new ServiceClient(settings, 'auditor').call<UsageReport>(
    'GET',
    `/v1/reports/usage?${usageQuery(options)}`,
  );
  if (options.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (options.csv === true) process.stdout.write(usageCsv(report.rows));
  else process.stdout.write(usageText(report));
}

export function usageQuery(period: UsagePeriod): string {
  const query = new URLSearchParams();
  for (const name of ['from', 'to', 'suppressBelow'] as const) {
    const value = period[name];
    if (value !== undefined) query.set(name, value);
  }
  return query.toString();
}

/** RFC 4180. An empty cell is withheld, or does not apply to the kind of search. */
export function usageCsv(rows: readonly UsageRow[]): string {
  return [COLUMNS, ...rows.map(cellsOf)].map((cells) => `${cells.join(',')}\r\n`).join('');
}

function usageText({ rows, notes }: UsageReport): string {
  const lines = notes.map((note) => `- ${note}\n`).join('');
  if (rows.length === 0) return `No searches.\n${lines}`;
  const groups = [
    ['operator', OPERATOR_USE_OUTCOMES],
    ['retrospective', RETROSPECTIVE_USE_OUTCOMES],
  ] as const;
  const tables = groups.flatMap(([kind, outcomes]) => {
    const ofKind = rows.filter((row) => row.kind === kind);
    if (ofKind.length === 0) return [];
    const table = new Table({
      head: ['month', 'ground', 'searches', 'hits', 'wrong leads', ...outcomes],
      style: { head: [] },
    });
    for (const { month, ground, searches, hits, wrongLeads, outcomes: counts } of ofKind) {
      const figures = [searches, hits, wrongLeads, ...outcomes.map((name) => counts[name] ?? null)];
      table.push([month, ground, ...figures.map((figure) => figure ?? 'withheld')]);
    }
    return [`${kind} searches\n${table.toString()}\n`];
  });
  return `${tables.join('\n')}\n${lines}`;
}

function cellsOf(row: UsageRow): readonly (string | number)[] {
  const figures = [row.searches, row.hits, row.wrongLeads, ...OUTCOMES.map((name) => row.outcomes[name])];
  return [row.month, row.kind, row.ground, ...figures.map((figure) => figure ?? '')];
}
