/** A folder with the evidence for a data protection impact assessment: for programs, for people, and to be verified. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatedDecision, DpiaEvidence, EvidencedTopic } from '#contracts/dpia-evidence.js';
import type { ThresholdVersion } from '#domain/governance.js';
import type { Settings } from '#platform/settings.js';
import { ServiceClient } from './service-client.js';
import { usageCsv, usageQuery, type UsagePeriod } from './usage-report.js';

export async function exportDpiaEvidence(
  settings: Settings,
  { out, ...period }: UsagePeriod & { readonly out: string },
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  const evidence = await client.call<DpiaEvidence>('GET', `/v1/reports/dpia?${usageQuery(period)}`);
  // A new one: what was given to somebody before is not written over.
  await mkdir(out);
  const { checkpoint, verifierKeys } = evidence.audit;
  const files: Record<string, string> = {
    'evidence.json': `${JSON.stringify(evidence, null, 2)}\n`,
    'evidence.md': evidenceText(evidence),
    'usage.csv': usageCsv(evidence.use.rows),
    'audit-seal.vkey': verifierKeys.map((key) => `${key}\n`).join(''),
    ...(checkpoint !== null && { 'audit-checkpoint.note': checkpoint }),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(out, name), text);
  process.stdout.write(`${out}: ${Object.keys(files).join(', ')}\n`);
}

/** The same as Markdown, to be read and quoted. */
export function evidenceText(evidence: DpiaEvidence): string {
  const { model, gallery, thresholds, retentionPolicy, audit } = evidence;
  const inForce = thresholds.versions.find(({ version }) => version === thresholds.versionInForce);
  return [
    '# Evidence for a data protection impact assessment',
    `Custody Face Search ${evidence.versions.software}, ${evidence.generatedAt}.`,
    list(evidence.notes),
    '## Model and gallery',
    table(
      ['what', 'is'],
      [
        ['model', `${model.name} ${model.version} (${model.modelId})`],
        ['licence', `${model.licence}, ${model.licenceHolder}`],
        ['for evaluation only', model.evaluationOnly ? `yes: ${model.note}` : 'no'],
        ['templates enrolled', `${gallery.enrolled}${gallery.complete ? '' : ', and parts that did not answer'}`],
        ['images whose review is due', gallery.reviewsDue],
        ['officers’ searches without an outcome', evidence.operatorSearchesWithoutOutcome],
      ],
    ),
    '## Thresholds in force',
    inForce === undefined
      ? 'None.'
      : `Version ${inForce.version}, ${whoseThresholds(inForce)}. Evaluation report: SHA-256 \`${inForce.thresholds.evaluation.reportSha256}\`. ` +
        inForce.thresholds.evaluation.description,
    table(
      ['kind', 'model', 'gallery up to', 'score', 'FPIR', 'FNIR', 'groups measured'],
      (inForce?.thresholds.profiles ?? []).flatMap(({ kind, modelId, bands }) =>
        bands.map((band) => [
          kind,
          modelId,
          band.enrolledMax,
          band.score,
          band.fpir ?? 'not measured',
          band.fnir ?? 'not measured',
          band.groups.length === 0 ? 'none' : band.groups.map(({ group }) => group).join('; '),
        ]),
      ),
    ),
    '## Decisions, in the order of the log',
    table(['at', 'decision', 'about', 'by', 'role', 'authority', 'reason'], evidence.decisions.map(decisionRow)),
    '## Rules of the API',
    table(['rule', 'is'], rowsOf(evidence.rules)),
    '## Settings',
    table(['setting', 'is'], rowsOf(evidence.settings)),
    '## Retention of images',
    `Policy version ${retentionPolicy.version}, in force from ${retentionPolicy.effectiveFrom}. ${retentionPolicy.authority}`,
    table(
      ['case', 'reviewed after, months', 'of a child', 'erasure asked for by rule'],
      Object.entries({
        ...retentionPolicy.outcomes,
        'no outcome reported': retentionPolicy.withoutOutcome,
        ...retentionPolicy.lawfulBases,
      }).map(([name, rule]) => [
        name,
        rule.reviewAfterMonths,
        rule.childReviewAfterMonths,
        rule.deleteByRule ? 'yes' : 'no',
      ]),
    ),
    '## Topics',
    table(
      ['topic', 'kept', 'milliseconds', 'differs from what is wanted'],
      evidence.topics.map((topic) => [topic.name, ...keptOf(topic), differencesOf(topic)]),
    ),
    '## Roles',
    table(
      ['role', 'calls of the query service'],
      evidence.roles.map(({ role, calls }) => [role, calls.join(', ')]),
    ),
    '## Use',
    table(
      ['month', 'kind', 'ground', 'searches', 'hits', 'wrong leads'],
      evidence.use.rows.map(({ month, kind, ground, searches, hits, wrongLeads }) => [
        month,
        kind,
        ground,
        ...[searches, hits, wrongLeads].map((count) => count ?? 'withheld'),
      ]),
    ),
    list(evidence.use.notes),
    '## Audit',
    `${audit.entries} entries, of which ${audit.sealed} are sealed by the checkpoint below and ${audit.unsealed} are not yet.`,
    audit.checkpoint === null ? 'No checkpoint was signed yet.' : `\`\`\`\n${audit.checkpoint.trimEnd()}\n\`\`\``,
    '',
  ].join('\n\n');
}

/** What came with the deployment was approved by nobody. */
function whoseThresholds({ fileSha256, proposed, approved }: ThresholdVersion): string {
  if (fileSha256 !== null) return `from the deployment’s file (SHA-256 \`${fileSha256}\`), approved by nobody`;
  return `proposed by ${proposed.by}, approved by ${approved?.by ?? 'nobody'}`;
}

type Cell = string | number;

function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return 'None.';
  const line = (cells: readonly Cell[]): string => `| ${cells.map(cellText).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
}

/** People's own words stay one cell. */
function cellText(cell: Cell): string {
  return String(cell)
    .replace(/\s*\n\s*/g, ' ')
    .replaceAll('|', '\\|');
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n');
}

function rowsOf(named: Readonly<Record<string, Cell | readonly string[]>>): Cell[][] {
  return Object.entries(named).map(([name, value]) => [name, typeof value === 'object' ? value.join(', ') : value]);
}

function decisionRow(decision: DatedDecision): Cell[] {
  const { at, type, by, role, reason } = decision;
  const authority = 'authority' in decision ? decision.authority : '';
  return [at, type, subjectOf(decision), by, role, authority, reason];
}

function subjectOf(decision: DatedDecision): Cell {
  switch (decision.type) {
    case 'SEARCH_SUSPENDED':
    case 'SUSPENSION_LIFTED':
      return `${decision.kind} searches`;
    case 'THRESHOLDS_DEPLOYED':
      return `version ${decision.thresholds.version}`;
    case 'THRESHOLDS_PROPOSED':
      return `report ${decision.thresholds.evaluation.reportSha256}`;
    case 'THRESHOLDS_APPROVED':
      return `version ${decision.version}`;
    case 'OVERRIDE_PROPOSED':
    case 'GALLERY_RETIRED':
    case 'GALLERY_DESTROYED':
      return `model ${decision.modelId}`;
    case 'OVERRIDE_APPROVED':
    case 'OVERRIDE_ENDED':
      return `override ${decision.overrideId}`;
    case 'GALLERY_SWITCHED':
      return `from model ${decision.from} to ${decision.to}`;
  }
}

function keptOf({ config }: EvidencedTopic): [string, string] {
  const ms = config['retention.ms'];
  return [config['cleanup.policy'] ?? '', ms === undefined ? '' : ms === '-1' ? 'for ever' : ms];
}

function differencesOf({ differing }: EvidencedTopic): string {
  if (differing.length === 0) return 'no';
  return differing.map(({ setting, wanted, found }) => `${setting} is ${found}, wanted ${wanted}`).join('; ');
}
