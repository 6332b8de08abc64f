/** `custody access print|check|apply`: the ACLs that follow from the table of who may do what. */
import { accessOf, PRINCIPALS, type Access, type Principal } from '#contracts/access.js';
import { aclOperationName } from '#contracts/strimzi-manifests.js';
import { Failure } from '#domain/errors.js';
import type { AccessAdmin } from '#kafka/access-admin.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';

export interface AccessOptions {
  /** The brokers' name of a principal, `%s` for ours: `User:%s`, or `User:CN=%s` where certificates are not mapped. */
  readonly principalFormat: string;
}

/** What an administrator without this program would type. */
export function printAccess({ principalFormat }: AccessOptions): void {
  for (const principal of PRINCIPALS) {
    process.stdout.write(`# ${principal}\n`);
    for (const access of accessOf(principal)) process.stdout.write(`${aclCommand(access, principalFormat)}\n`);
  }
}

/** @throws Failure ACCESS_DIFFERS when the brokers grant more, or less, than the table */
export async function checkAccess(settings: Settings, options: AccessOptions): Promise<void> {
  let differences = 0;
  await withAccessAdmin(settings, options, async (admin) => {
    for (const principal of PRINCIPALS) {
      const granted = await admin.grantedTo(principal);
      const wanted = new Set(accessOf(principal).map((access) => admin.text(access)));
      const missing = [...wanted].filter((text) => !granted.has(text));
      const surplus = [...granted].filter((text) => !wanted.has(text));
      for (const text of missing) process.stdout.write(`missing    ${principal}: ${text}\n`);
      for (const text of surplus) process.stdout.write(`surplus    ${principal}: ${text}\n`);
      if (missing.length + surplus.length === 0)
        process.stdout.write(`as wanted  ${principal}: ${wanted.size} rights\n`);
      differences += missing.length + surplus.length;
    }
  });
  if (differences > 0) throw new Failure('ACCESS_DIFFERS', 'The ACLs are not what the table says.', false);
}

/** Grants what is missing. What is granted beyond the table stays: somebody may have reasons, and `check` names it. */
export async function applyAccess(settings: Settings, options: AccessOptions): Promise<void> {
  await withAccessAdmin(settings, options, async (admin) => {
    for (const principal of PRINCIPALS) {
      const granted = await admin.grantedTo(principal);
      const missing = accessOf(principal).filter((access) => !granted.has(admin.text(access)));
      if (missing.length > 0) await admin.grant(missing);
      process.stdout.write(`granted    ${principal}: ${missing.length} rights, ${granted.size} were there\n`);
    }
  });
}

async function withAccessAdmin(
  settings: Settings,
  { principalFormat }: AccessOptions,
  run: (admin: AccessAdmin) => Promise<void>,
): Promise<void> {
  const client = new KafkaClient({
    ...kafkaConnection(settings),
    clientId: 'custody-cli',
    log: createLog('cli', 'error'),
  });
  try {
    await run(client.accessAdmin((principal: Principal) => principalFormat.replace('%s', principal)));
  } finally {
    await client.close();
  }
}

function aclCommand({ principal, resource, operation }: Access, principalFormat: string): string {
  const { kind, name, pattern } = resource;
  const who = `--allow-principal '${principalFormat.replace('%s', principal)}'`;
  const what = kind === 'cluster' ? '--cluster' : `--${kind} ${name} --resource-pattern-type ${pattern}`;
  return `kafka-acls.sh --bootstrap-server "$BROKERS" --command-config admin.properties --add ${who} --operation ${aclOperationName(operation)} ${what}`;
}
