/** Shows searches to those who may see them. Each look is in the audit before it is answered. */
import type { AuditLog } from '#audit/audit-log.js';
import { parseSearchListQuery, type SearchListFilter } from '#contracts/search-forms.js';
import { Refusal } from '#domain/errors.js';
import type { Actor } from '#domain/identity.js';
import type { SearchId } from '#domain/ids.js';
import type { Candidate } from '#domain/search-answer.js';
import { roleFor, scopesOf } from './search-access.js';
import type { SearchPage } from './search-tables.js';
import type { SearchView } from './search-view.js';
import { showQueued, showSearch, type DispositionOf, type ShownSearch } from './shown-search.js';

export class SearchReading {
  constructor(
    private readonly view: SearchView,
    private readonly audit: AuditLog,
    private readonly dispositionOf: DispositionOf,
  ) {}

  /** @throws Refusal SEARCH_NOT_FOUND, NOT_YOUR_SEARCH; Failure AUDIT_UNAVAILABLE */
  async one(actor: Actor, id: SearchId): Promise<ShownSearch> {
    const viewed = this.view.get(id);
    if (viewed === undefined) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    const role = roleFor(actor, viewed);
    if (role === undefined) throw new Refusal('NOT_YOUR_SEARCH', 'This search is not yours to see.');
    const shown = showSearch(viewed, this.dispositionOf);
    const candidates = (shown.answer?.candidates ?? []).filter(
      (candidate): candidate is Candidate => 'imageId' in candidate,
    );
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'search-viewed',
        actor: actor.id,
        role,
        purpose: 'review',
        searchId: id,
        subjectIds: candidates.map((candidate) => candidate.subjectId),
        imageIds: candidates.map((candidate) => candidate.imageId),
        recipients: [actor.id],
      },
    ]);
    // Who was erased or restricted while the audit took it must not leave.
    return showSearch(viewed, this.dispositionOf);
  }

  /** A search that was just put into the log; QUEUED while no owner has taken it up. */
  async submitted(actor: Actor, id: SearchId): Promise<ShownSearch> {
    if (this.view.get(id) !== undefined) return this.one(actor, id);
    return showQueued(id, actor.id, new Date().toISOString());
  }

  /** Newest first, of those that the actor's roles may see. @throws Refusal BAD_REQUEST, BAD_CURSOR, BAD_LIMIT */
  async list(actor: Actor, query: Readonly<Record<string, unknown>>): Promise<SearchPage> {
    const parsed = parseSearchListQuery(query);
    const { roles, scopes } = scopesOf(actor);
    const page = this.view.list(parsed, scopes);
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'searches-listed',
        actor: actor.id,
        role: roles[0]!,
        purpose: 'review',
        recipients: [actor.id],
        detail: { ...given(parsed.filter), searches: page.searches.length },
      },
    ]);
    return page;
  }
}

/** What a list was narrowed to: who looked for one person's searches, or one case's, is worth knowing. */
function given(filter: SearchListFilter): Record<string, string> {
  const entries = Object.entries(filter) as [string, string | undefined][];
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
