/** Reads what an audit is verified with: an export, the verifier's keys, and the checkpoints that the verifier holds. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { keptEntry, type AuditCopy, type HeldSeals, type KeptEntry } from '#audit/audit-verification.js';
import { readCheckpointFolder } from '#audit/checkpoint-folder.js';
import { openCheckpoint, type SignedCheckpoint } from '#audit/checkpoint.js';
import { parseVerifierKey, type VerifierKey } from '#audit/signed-note.js';
import { parseAuditLine, type LoggedLeaf, type SealedLeaves } from '#contracts/audit-seal-record.js';
import { Refusal } from '#domain/errors.js';

/** @throws Refusal AUDIT_FILE_UNREADABLE */
export async function readVerifierKeys(file: string): Promise<VerifierKey[]> {
  const lines = (await textOf(file)).split('\n').filter((line) => line.trim() !== '');
  const keys = lines.flatMap((line) => parseVerifierKey(line) ?? []);
  if (keys.length === 0 || keys.length < lines.length) throw unreadable(file, 'it has a line that is no verifier key');
  return keys;
}

/** @throws Refusal AUDIT_FILE_UNREADABLE naming the line */
export async function readAuditExport(file: string, keys: readonly VerifierKey[]): Promise<AuditCopy> {
  // Before the stream is opened, whose failure nobody would be told.
  await stat(file).catch((cause: unknown) => {
    throw unreadable(file, 'it is not there', cause);
  });
  const leaves: LoggedLeaf[] = [];
  const entries = new Map<string, KeptEntry>();
  const checkpoints: SignedCheckpoint[] = [];
  const sealed: SealedLeaves[] = [];
  let [copiedAtMs, copyEndedAtMs, unsignedCheckpoints, lines] = [Number.NaN, Number.NaN, 0, 0];
  let whole = false;
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    lines++;
    const line = parseAuditLine(text);
    if (line === undefined) throw unreadable(file, `line ${lines} is not one of an export`);
    whole = line.kind === 'end';
    switch (line.kind) {
      case 'audit-export':
        copiedAtMs = Date.parse(line.exportedAt);
        break;
      case 'sealed':
        sealed.push(line);
        break;
      case 'checkpoint': {
        const checkpoint = openCheckpoint(line.note, keys);
        if (checkpoint === undefined) unsignedCheckpoints++;
        else checkpoints.push(checkpoint);
        break;
      }
      case 'leaf':
        leaves.push({ leaf: line.leaf, eventId: line.eventId, loggedAt: line.loggedAt });
        break;
      case 'entry':
        if (line.body === null) entries.delete(line.eventId);
        else entries.set(line.eventId, keptEntry(line.body));
        break;
      case 'end':
        copyEndedAtMs = line.endedAt === undefined ? copiedAtMs : Date.parse(line.endedAt);
        break;
    }
  }
  if (Number.isNaN(copiedAtMs)) throw unreadable(file, 'it does not say when it was made');
  if (!whole) throw unreadable(file, 'it was cut off: its last line is missing');
  return { copiedAtMs, copyEndedAtMs, leaves, entries, checkpoints, unsignedCheckpoints, sealed };
}

/**
 * @param path a checkpoint as a note, a file of the append-only copy, or its folder
 * @throws Refusal AUDIT_FILE_UNREADABLE, HELD_CHECKPOINT_INVALID
 */
export async function readHeldSeals(path: string, keys: readonly VerifierKey[]): Promise<HeldSeals> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    (cause: unknown) => {
      throw unreadable(path, 'it is not there', cause);
    },
  );
  const text = isFolder ? '' : await textOf(path);
  const held = isFolder ? await readSealFolder(path, keys) : sealsIn(text.split('\n'), path, keys);
  return held.checkpoints.length > 0 ? held : { ...held, checkpoints: [openHeld(text, path, keys)] };
}

/**
 * The append-only copy in its folder, which may be empty.
 *
 * @throws Refusal AUDIT_FILE_UNREADABLE, HELD_CHECKPOINT_INVALID
 */
export async function readSealFolder(folder: string, keys: readonly VerifierKey[]): Promise<HeldSeals> {
  const lines = await readCheckpointFolder(folder).catch((cause: unknown) => {
    throw unreadable(folder, 'it cannot be read', cause);
  });
  return sealsIn(lines, folder, keys);
}

function sealsIn(lines: readonly string[], path: string, keys: readonly VerifierKey[]): HeldSeals {
  const checkpoints: SignedCheckpoint[] = [];
  const sealed: SealedLeaves[] = [];
  for (const line of lines) {
    // A crash may have left a line unfinished; the seal after it has the same leaves again.
    const parsed = parseAuditLine(line);
    if (parsed?.kind === 'sealed') sealed.push(parsed);
    if (parsed?.kind === 'checkpoint') checkpoints.push(openHeld(parsed.note, path, keys));
  }
  return { checkpoints, sealed };
}

function openHeld(note: string, path: string, keys: readonly VerifierKey[]): SignedCheckpoint {
  const checkpoint = openCheckpoint(note, keys);
  if (checkpoint !== undefined) return checkpoint;
  throw new Refusal('HELD_CHECKPOINT_INVALID', `${path} has no checkpoint that one of these keys has signed.`);
}

function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadable(file, 'it cannot be read', cause);
  });
}

function unreadable(file: string, why: string, cause?: unknown): Refusal {
  return new Refusal('AUDIT_FILE_UNREADABLE', `${file}: ${why}.`, undefined, { cause });
}
