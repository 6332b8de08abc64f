/** The report of use, counted from this replica's view of the searches. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditLog } from '#audit/audit-log.js';
import type { UsageReportQuery } from '#contracts/usage-report-query.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import { UsageTally, useOfOperatorSearch, useOfRetrospectiveSearch, type UsageReport } from '#domain/usage-report.js';
import type { SearchView } from '../searches/search-view.js';

/** Read in one turn of the event loop: beside a report, officers' searches go on. */
const PAGE = 100;
const NOTES = [
  'Searches that ran, by when they were asked for. What was refused beforehand is not counted.',
  'A search whose retention has ended is no longer counted.',
  'A hit is a search in which somebody was at or above the threshold; it is no identification.',
  'A wrong lead is a search that put somebody forward who was not the person: shown to an officer and none confirmed, or rejected by the investigating officer.',
];

export class UsageReports {
  constructor(
    private readonly view: SearchView,
    private readonly audit: AuditLog,
  ) {}

  /** @throws Failure AUDIT_UNAVAILABLE */
  async report(actor: Actor, query: UsageReportQuery): Promise<UsageReport> {
    const { from, to, suppressBelow } = query;
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'usage-report',
        actor: actor.id,
        role: 'auditor',
        purpose: 'publication of use',
        recipients: [actor.id],
        detail: { ...(from !== undefined && { from }), ...(to !== undefined && { to }), suppressBelow },
      },
    ]);
    return this.count(query);
  }

  /** For whoever has put it on record as a part of something else. */
  async count({ from, to, suppressBelow }: UsageReportQuery): Promise<UsageReport> {
    const tally = new UsageTally();
    let cursor: string | undefined;
    do {
      const page = this.view.list({ filter: { from, to }, cursor, limit: PAGE }, [{}]);
      for (const { searchId } of page.searches) this.add(tally, searchId as SearchId);
      cursor = page.nextCursor ?? undefined;
      await nextTurn();
    } while (cursor !== undefined);
    return {
      generatedAt: new Date().toISOString(),
      from: from ?? null,
      to: to ?? null,
      suppressBelow,
      rows: tally.rows(suppressBelow),
      notes: suppressBelow > 1 ? [...NOTES, suppressionNote(suppressBelow)] : NOTES,
    };
  }

  private add(tally: UsageTally, id: SearchId): void {
    const viewed = this.view.get(id);
    if (viewed?.kind === 'operator') tally.add(useOfOperatorSearch(viewed.search));
    if (viewed?.kind === 'retrospective') tally.add(useOfRetrospectiveSearch(viewed.search));
  }
}

function suppressionNote(below: number): string {
  return `Where a count, or what is left of it, is below ${below} and not 0, the details of the row are withheld.`;
}
