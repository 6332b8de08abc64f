/**
 * The audit after a restore. What was logged between the backup and the loss is not in the backup, but its leaves are in
 * the append-only copy of the seals, which lies elsewhere: with them the log goes on as it was signed, and says of each
 * entry that is lost which it was and when. So a loss of Kafka takes nothing out of the history unseen.
 */
import { existsSync } from 'node:fs';
import { AuditLog } from '#audit/audit-log.js';
import type { HeldSeals } from '#audit/audit-verification.js';
import { leafHash, MerkleFrontier } from '#audit/merkle-tree.js';
import { AUDIT_LOG } from '#contracts/topics.js';
import { Failure } from '#domain/errors.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { LogRestore } from '#kafka/log-restore.js';
import { readToEnd } from '#kafka/read-to-end.js';
import type { Settings } from '#platform/settings.js';
import { readSealFolder, readVerifierKeys } from './audit-files.js';
import { RESTORE_SOURCE } from './backup-contents.js';

const LEAVES_AT_ONCE = 1_000;

/**
 * The append-only copy in AUDIT_CHECKPOINT_DIR; without a checkpoint it is as if it were not there, and that is said.
 *
 * @throws Refusal AUDIT_FILE_UNREADABLE, HELD_CHECKPOINT_INVALID
 */
export async function readSurvivingSeals(settings: Settings): Promise<HeldSeals | undefined> {
  const { AUDIT_CHECKPOINT_DIR: folder, AUDIT_SEAL_VERIFIER_KEYS_FILE: keysFile } = settings;
  const missing = [folder, keysFile].find((path) => !existsSync(path));
  const held = missing === undefined ? await readSealFolder(folder, await readVerifierKeys(keysFile)) : undefined;
  if (held !== undefined && held.checkpoints.length > 0) return held;
  process.stdout.write(`There is no ${missing ?? `checkpoint in ${folder}`}: the audit ends where the backup does.\n`);
  return undefined;
}

/**
 * Puts back the leaves that are sealed in the append-only copy and not in the log.
 *
 * @param folder the copy's, for the words of a failure
 * @returns how many
 * @throws Failure AUDIT_HISTORY_CHANGED when the log with them is not what was signed
 */
export async function restoreSealedLeaves(
  kafka: KafkaClient,
  logs: LogRestore,
  { sealed, checkpoints }: HeldSeals,
  folder: string,
): Promise<number> {
  const frontier = new MerkleFrontier();
  await readToEnd(kafka, AUDIT_LOG, [0], ({ value }) => frontier.append(leafHash(value ?? Buffer.alloc(0))));
  const logged = frontier.size;
  const newest = checkpoints.toSorted((a, b) => b.size - a.size)[0];
  if (newest === undefined || newest.size <= logged) return 0;
  const missing = new Map<number, (typeof sealed)[number]['leaves'][number]>();
  for (const { from, leaves } of sealed) {
    for (const [i, leaf] of leaves.entries()) {
      const index = from + i;
      if (index >= logged && index < newest.size && !missing.has(index)) missing.set(index, leaf);
    }
  }
  const inOrder = [...missing].toSorted(([a], [b]) => a - b).map(([, leaf]) => leaf);
  for (const { leaf } of inOrder) frontier.append(leafHash(leaf));
  if (frontier.size !== newest.size || !frontier.root().equals(newest.root)) {
    throw new Failure(
      'AUDIT_HISTORY_CHANGED',
      `The audit of the backup and the seals in ${folder} are not one history.`,
      false,
    );
  }
  let { high } = (await logs.ends(AUDIT_LOG, [0])).get(0)!;
  for (let from = 0; from < inOrder.length; from += LEAVES_AT_ONCE) {
    const records = inOrder.slice(from, from + LEAVES_AT_ONCE).map(({ leaf, eventId, loggedAt }) => ({
      key: null,
      value: leaf,
      headers: { ce_id: eventId },
      timestampMs: Date.parse(loggedAt),
    }));
    high = await logs.append(AUDIT_LOG, 0, high, records);
  }
  return inOrder.length;
}

/** Before any service runs, and so before anybody can look at what was restored. */
export async function recordRestore(
  kafka: KafkaClient,
  by: string,
  detail: Readonly<Record<string, string>>,
): Promise<void> {
  const publisher = kafka.publisher({ deadlineMs: 30_000 });
  await new AuditLog(publisher, RESTORE_SOURCE).append([
    { operation: 'alteration', action: 'restored', actor: by, role: 'system', purpose: 'restore', detail },
  ]);
  await publisher.close();
}
