/** The access report as a person reads it: one page without scripts, pictures or links, which can be printed. */
import type { AccessReport, ReportedImage, ReportedSearch, ReportedUse } from '#domain/access-report.js';

const STYLE =
  'body{font:16px/1.5 sans-serif;margin:2rem;max-width:70rem}table{border-collapse:collapse;width:100%}' +
  'th,td{border:1px solid #666;padding:.3rem .5rem;text-align:left;vertical-align:top}caption{text-align:left}' +
  '@media print{body{margin:0}}';

type Column<T> = readonly [heading: string, cell: (row: T) => string | number | boolean | null];

const IMAGE_COLUMNS: readonly Column<ReportedImage>[] = [
  ['Image', (image) => image.imageId],
  ['Force', (image) => image.force],
  ['Custody reference', (image) => image.custodyReference],
  ['Taken', (image) => image.capturedAt],
  ['Received', (image) => image.receivedAt],
  ['Sex', (image) => image.sex],
  ['Age when taken', (image) => image.ageBand],
  ['Held on', (image) => image.lawfulBasis],
  ['To be reviewed', (image) => `${image.reviewOn} (${image.reviewBecause}, policy ${image.retentionPolicyVersion})`],
  ['Can be found by searches', (image) => image.searchable],
  [
    'Kept out of searches',
    ({ suppressed }) =>
      suppressed === null ? null : `${suppressed.kind} since ${suppressed.since} under ${suppressed.authority}`,
  ],
  ['Must not be erased', (image) => image.erasureForbiddenBy.join(', ') || null],
];

const SEARCH_COLUMNS: readonly Column<ReportedSearch>[] = [
  ['When', (search) => search.at],
  ['Kind', (search) => search.kind],
  ['Grounds or offence', (search) => search.grounds ?? search.offence],
  ['Image returned', (search) => search.imageId],
  ['Rank', (search) => search.rank],
  ['Reached the threshold', (search) => search.aboveThreshold],
  ['Outcome', (search) => search.outcome],
  ['Open', (search) => search.isOpen],
  ['Search', (search) => search.searchId],
];

const USE_COLUMNS: readonly Column<ReportedUse>[] = [
  ['When', (use) => use.at],
  ['What', (use) => `${use.operation}: ${use.action}`],
  ['Role', (use) => use.role],
  ['By', (use) => use.by],
  ['System', (use) => use.system],
  ['Shown to', (use) => use.recipients.join(', ') || null],
  ['Images', (use) => use.imageIds.join(', ') || null],
  ['Search', (use) => use.searchId],
  ['Audit entry', (use) => use.auditIndex],
];

export function accessReportHtml(report: AccessReport): string {
  const title = `What is held about ${escaped(report.subjectId)}`;
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style></head>`,
    `<body><h1>${title}</h1><p>Custody Face Search, ${escaped(report.generatedAt)}. All times are UTC.</p>`,
    `<ul>${report.notes.map((note) => `<li>${escaped(note)}</li>`).join('')}</ul>`,
    table('Images held', IMAGE_COLUMNS, report.images),
    table('Searches that returned an image', SEARCH_COLUMNS, report.searches),
    table('Who was shown the data', USE_COLUMNS, report.accesses),
    table('What else was done with the data', USE_COLUMNS, report.changes),
    '</body></html>',
  ].join('\n');
}

function table<T>(heading: string, columns: readonly Column<T>[], rows: readonly T[]): string {
  if (rows.length === 0) return `<h2>${heading}</h2><p>None.</p>`;
  const head = columns.map(([name]) => `<th scope="col">${name}</th>`).join('');
  const body = rows.map((row) => `<tr>${columns.map(([, cell]) => `<td>${shown(cell(row))}</td>`).join('')}</tr>`);
  return `<h2>${heading}</h2><table><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

function shown(value: string | number | boolean | null): string {
  if (value === null) return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return escaped(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
