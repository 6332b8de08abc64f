import { readFile } from 'node:fs/promises';
import { retentionPolicySchema } from '#contracts/retention-forms.js';
import { Failure } from '#domain/errors.js';
import { checkRetentionPolicy, type RetentionPolicy } from '#domain/retention.js';

/** @throws Failure RETENTION_POLICY_UNREADABLE */
export async function readRetentionPolicy(file: string): Promise<RetentionPolicy> {
  try {
    return checkRetentionPolicy(retentionPolicySchema.parse(JSON.parse(await readFile(file, 'utf8'))));
  } catch (error) {
    throw new Failure('RETENTION_POLICY_UNREADABLE', `The retention policy in ${file} cannot be used.`, false, {
      cause: error,
    });
  }
}
