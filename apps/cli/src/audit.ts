import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { verifyAudit, type AuditFinding, type AuditFindingKind, type AuditReport } from '#audit/audit-verification.js';
import type { AuditDestruction } from '#contracts/audit-record.js';
import { Failure } from '#domain/errors.js';
import type { Settings } from '#platform/settings.js';
import { readAuditExport, readHeldSeals, readVerifierKeys } from './audit-files.js';
import { ServiceClient } from './service-client.js';

/** Of a log that was cut or shifted, the first finding says what happened; thousands more say the same. */
const FINDINGS_SHOWN_MAX = 20;

const MEANINGS: Readonly<Record<AuditFindingKind, string>> = {
  'entry-changed': 'its entry is not the one that was logged',
  'entry-missing': 'its entry is gone, and no decision to destroy it is on record',
  'event-id-changed': 'the log names another entry for it',
  'leaf-changed': 'it is not the leaf that was sealed',
  removed: 'it was removed from the log',
  inserted: 'it was put into the log before what was sealed there',
  reordered: 'it is elsewhere in the log than it was sealed',
  'between-checkpoints': 'the log was changed between these two checkpoints',
  'two-histories': 'two signed checkpoints of one size have different roots: the key has signed two histories',
  'checkpoint-unsigned': 'a checkpoint is not signed by any of these keys',
  'not-sealed': 'no signed checkpoint covers it, though one should: it was not written just before this copy was made',
};

export async function exportAudit(settings: Settings, options: { readonly out: string }): Promise<void> {
  const stream = await new ServiceClient(settings, 'auditor').download('/v1/audit/export');
  await pipeline(Readable.fromWeb(stream as ReadableStream), createWriteStream(options.out, { flags: 'wx' }));
  process.stdout.write(`${options.out}\n`);
}

/** @throws Failure AUDIT_CHANGED when anything was changed, removed or reordered, or is not sealed though it should be */
export async function verifyAuditExport(
  file: string,
  options: { readonly key: string; readonly checkpoint?: string },
): Promise<void> {
  const keys = await readVerifierKeys(options.key);
  const held = options.checkpoint === undefined ? undefined : await readHeldSeals(options.checkpoint, keys);
  const report = verifyAudit(await readAuditExport(file, keys), held);
  process.stdout.write(`${describeReport(report).join('\n')}\n`);
  for (const checkpoint of held?.checkpoints.slice(-1) ?? []) {
    const holds = report.verifiedTo >= checkpoint.size;
    process.stdout.write(
      `held     checkpoint of ${checkpoint.size} leaves: ${holds ? 'the log begins so' : 'NOT so'}\n`,
    );
  }
  const { findings } = report;
  for (const finding of findings.slice(0, FINDINGS_SHOWN_MAX))
    process.stdout.write(`${labelOf(finding)} ${describe(finding)}\n`);
  if (findings.length > FINDINGS_SHOWN_MAX) process.stdout.write(`and ${findings.length - FINDINGS_SHOWN_MAX} more\n`);
  if (findings.length > 0) throw new Failure('AUDIT_CHANGED', `First: ${describe(findings[0]!)}`, false);
  process.stdout.write('verified: nothing was changed, removed or reordered\n');
}

export async function destroyAuditEntries(
  settings: Settings,
  options: { readonly before: string; readonly authority: string; readonly reason: string },
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  const destroyed = await client.call<AuditDestruction>('POST', '/v1/audit/destructions', options);
  process.stdout.write(`${destroyed.entries} entries of the leaves below ${destroyed.belowIndex} destroyed\n`);
}

function describeReport(report: AuditReport): string[] {
  const { leaves, entries, destroyed, unlogged, inFlight, checkpoints, verifiedTo, unsealed } = report;
  const lines = [
    `log      ${leaves} leaves, ${entries} entries, ${destroyed} destroyed at the end of their retention`,
    `seals    ${checkpoints} checkpoints; the first ${verifiedTo} leaves are as they were signed, ${unsealed} are not sealed`,
  ];
  if (inFlight > 0) lines.push(`writing  ${inFlight} entries were being written when this copy was made`);
  if (unlogged > 0) lines.push(`unlogged ${unlogged} entries have no leaf: their writers ended before their effect`);
  return lines;
}

/** As wide as those of the report. */
function labelOf({ kind }: AuditFinding): string {
  return kind === 'not-sealed' ? 'UNSEALED' : 'CHANGED ';
}

function describe({ kind, index, toIndex, eventId, at }: AuditFinding): string {
  if (index === undefined) return MEANINGS[kind];
  const range = toIndex !== undefined && toIndex > index + 1 ? ` to ${toIndex - 1}` : '';
  const entry = eventId === undefined ? '' : `, entry ${eventId}`;
  return `leaf ${index}${range}${entry}${at === undefined ? '' : `, ${at}`}: ${MEANINGS[kind]}`;
}
