/** Opens what the query service needs to seal, show and export the audit. */
import { readFile } from 'node:fs/promises';
import type { AuditLog } from '#audit/audit-log.js';
import { AuditSealer } from '#audit/audit-sealer.js';
import { CheckpointFolder } from '#audit/checkpoint-folder.js';
import { NoteSigner, parseVerifierKey, type VerifierKey } from '#audit/signed-note.js';
import { Failure } from '#domain/errors.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Settings } from '#platform/settings.js';
import { AuditDestructions } from './audit-destruction.js';
import { AuditExport } from './audit-export.js';
import { AuditReading } from './audit-reading.js';
import { AuditSealing, type AuditSurroundings } from './audit-sealing.js';
import { AuditView } from './audit-view.js';
import { AuditKeys } from './audit.controller.js';
import { QUERY_SOURCE } from '../query-source.js';

/** Of AUDIT_SEAL_KEY_FILE: this replica has no key and never seals. */
const NO_KEY = 'off';
const PUBLISH_DEADLINE_MS = 5_000;

export interface AuditParts {
  readonly view: AuditView;
  readonly reading: AuditReading;
  readonly copy: AuditExport;
  readonly destructions: AuditDestructions;
  readonly keys: AuditKeys;
  /** When the view is caught up. */
  startSealing(): AuditSealing;
}

/** @throws Failure SEAL_KEY_UNREADABLE */
export async function openAuditParts(
  settings: Settings,
  kafka: KafkaClient,
  audit: AuditLog,
  { metrics, health, log, onFatal }: AuditSurroundings,
): Promise<AuditParts> {
  // Without a deadline a seal would wait for Kafka for ever, and so would the end of this process.
  const publisher = kafka.publisher({ deadlineMs: PUBLISH_DEADLINE_MS });
  const signer = await readSigner(settings.AUDIT_SEAL_KEY_FILE);
  const keys = await readVerifierKeys(settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, signer?.verifier);
  const view = await AuditView.open({ kafka, file: settings.AUDIT_VIEW_FILE, keys, log, onFatal });
  const sealer =
    signer === undefined
      ? undefined
      : new AuditSealer(
          view,
          signer,
          await CheckpointFolder.open(settings.AUDIT_CHECKPOINT_DIR, keys),
          publisher,
          QUERY_SOURCE,
        );
  return {
    view,
    reading: new AuditReading(view, audit),
    copy: new AuditExport(kafka, audit),
    destructions: new AuditDestructions(view, audit, publisher, settings.AUDIT_RETENTION_DAYS),
    keys: new AuditKeys(keys),
    startSealing: () => new AuditSealing(kafka, view, sealer, { metrics, health, log, onFatal }),
  };
}

async function readSigner(file: string): Promise<NoteSigner | undefined> {
  if (file === NO_KEY) return undefined;
  const signer = NoteSigner.parse(await readKeyFile(file));
  if (signer === undefined) {
    throw new Failure('SEAL_KEY_UNREADABLE', `${file} does not hold a signer key for notes.`, false);
  }
  return signer;
}

/** One a line: those that signed earlier checkpoints stay in the file when a new one comes. */
async function readVerifierKeys(file: string, own: VerifierKey | undefined): Promise<VerifierKey[]> {
  const lines = (await readKeyFile(file)).split('\n').filter((line) => line.trim() !== '');
  const keys = lines.map((line) => {
    const key = parseVerifierKey(line);
    if (key === undefined) throw new Failure('SEAL_KEY_UNREADABLE', `${file} has a line that is no key.`, false);
    return key;
  });
  if (own !== undefined && !keys.some(({ text }) => text === own.text)) keys.unshift(own);
  return keys;
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Failure('SEAL_KEY_UNREADABLE', `${file} cannot be read.`, false, { cause });
  }
}
