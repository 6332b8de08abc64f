import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '#platform/settings.js';
import { imageExport } from './image-export.js';
import { Reconciliation, type Reconciled, type ReconciliationOptions } from './reconciliation.js';

/** As against 1, by which a comparison that was not made ends. */
const EXIT_CODE_DIFFERENT = 2;

/** Compares a custody system's list with what is held here, and says in a folder what differs. */
export async function reconcile(settings: Settings, list: string, options: ReconciliationOptions): Promise<void> {
  const reconciliation = await Reconciliation.open(list, options);
  let found: Reconciled;
  let of: { exportedAt: string; outcomesSince: string | null; imagesWaiting: number | null } | undefined;
  try {
    for await (const line of imageExport(settings)) {
      if (line.kind === 'image-export') of = line;
      else if (line.kind === 'image') await reconciliation.compare(line);
    }
    found = await reconciliation.finish();
  } finally {
    await reconciliation.close();
  }
  const { exportedAt, outcomesSince, imagesWaiting } = of!;
  await writeFile(
    join(options.out, 'summary.json'),
    `${JSON.stringify({ exportedAt, outcomesSince, imagesWaiting, ...found }, null, 2)}\n`,
    { mode: 0o600 },
  );
  process.stdout.write(`${describe(found, outcomesSince, imagesWaiting).join('\n')}\n${options.out}\n`);
  if (isDifferent(found)) process.exitCode = EXIT_CODE_DIFFERENT;
}

function isDifferent({ missingHere, notInCustody, differing, notLatest }: Reconciled): boolean {
  return Object.keys(missingHere).length + notInCustody + differing + notLatest > 0;
}

function describe(found: Reconciled, outcomesSince: string | null, imagesWaiting: number | null): readonly string[] {
  const held = Object.entries(found.here).map(([state, images]) => `${images} ${state}`);
  const lines = [
    `in custody       ${found.inCustody}`,
    `held here        ${held.join(', ') || 'nothing'}`,
    `in both          ${found.alike} alike (${found.compared.join(', ') || 'their ids alone were compared'})`,
  ];
  for (const [why, images] of Object.entries(found.missingHere)) lines.push(`missing here     ${images} ${why}`);
  if (found.notInCustody > 0) lines.push(`not in custody   ${found.notInCustody}`);
  if (found.differing > 0) lines.push(`differing        ${found.differing}`);
  if (found.notLatest > 0) lines.push(`not the latest   ${found.notLatest}`);
  if (imagesWaiting === null) lines.push('It is not known how many images wait for ingest: compare again.');
  else if (imagesWaiting > 0) lines.push(`Up to ${imagesWaiting} images waited for ingest: some may not be missing.`);
  if (Object.keys(found.missingHere).length > 0) {
    lines.push(`Refusals are known since ${outcomesSince ?? 'now'}; what was refused before counts as never received.`);
  }
  return lines;
}
