/** `custody gallery …`: what holds the gallery, and how that is changed while the system runs. */
import { rm } from 'node:fs/promises';
import Table from 'cli-table3';
import { Failure, Refusal } from '#domain/errors.js';
import { pause } from '#kafka/backoff.js';
import { isProcessAlive } from '#platform/process-alive.js';
import type { Settings } from '#platform/settings.js';
import { expectDealable, galleryLayoutSchema, type GalleryLayout } from './gallery-layout.js';
import { layoutRequestFile, readLayoutState, type LayoutState } from './gallery-processes.js';
import { statusRows, STATUS_COLUMNS } from './gallery-status.js';
import { galleriesSchema, type ListedGallery } from './local-replicas.js';
import { ServiceClient } from './service-client.js';
import { readStateFile, writeStateFile } from './state-file.js';

const POLL_MS = 300;
/** Whoever runs takes a request up within a second. */
const TAKEN_UP_MS_MAX = 10_000;

/** Every replica on record, and what the query service hears of the gallery as a whole. */
export async function galleryStatus(settings: Settings, { json }: { readonly json?: boolean }): Promise<void> {
  const galleries = await listGalleries(settings);
  if (json === true) {
    process.stdout.write(`${JSON.stringify(galleries, null, 2)}\n`);
    return;
  }
  const nowMs = Date.now();
  for (const gallery of galleries) {
    const { modelId, enrolled, complete, partitionsMissing, partitionsDiffering } = gallery;
    say(`model ${modelId}: ${enrolled} enrolled, ${complete ? 'complete' : 'NOT COMPLETE'}`);
    if (partitionsMissing.length > 0) say(`  nobody answers for the partitions ${partitionsMissing.join(', ')}`);
    if (partitionsDiffering.length > 0) say(`  replicas DIFFER in the partitions ${partitionsDiffering.join(', ')}`);
    const table = new Table({ head: [...STATUS_COLUMNS], style: { head: [], border: [] } });
    table.push(...statusRows(gallery, nowMs).map((row) => [...row]));
    say(table.toString());
  }
}

/**
 * Asks the running `custody up` for another layout, and stays until it is in force and the former one is gone.
 *
 * @throws Failure BAD_SETTING, SYSTEM_NOT_RUNNING, LAYOUT_CHANGE_FAILED
 */
export async function changeGalleryLayout(settings: Settings, wanted: GalleryLayout): Promise<void> {
  expectDealable(wanted, settings);
  const request = layoutRequestFile(settings.DATA_DIR);
  await writeStateFile(request, wanted);
  await untilTakenUp(settings, request);
  let said = '';
  for (;;) {
    const state = await readLayoutState(settings.DATA_DIR);
    const text = state?.change?.text ?? '';
    if (text !== said) say(text);
    said = text;
    const end = endOf(state);
    if (end === 'done') return;
    if (end === 'failed') throw new Failure('LAYOUT_CHANGE_FAILED', text, false);
    if (state !== undefined && !isProcessAlive(state.pid)) {
      throw new Failure('SYSTEM_NOT_RUNNING', 'The system has ended; its next start goes on with the change.', false);
    }
    await pause(POLL_MS);
  }
}

async function untilTakenUp(settings: Settings, request: string): Promise<void> {
  const deadlineMs = Date.now() + TAKEN_UP_MS_MAX;
  while ((await readStateFile(request, galleryLayoutSchema)) !== undefined) {
    if (Date.now() > deadlineMs) {
      await rm(request, { force: true });
      throw new Failure(
        'SYSTEM_NOT_RUNNING',
        `Nothing runs on ${settings.DATA_DIR}: start it with npm start -- --shards … --replicas …`,
        false,
      );
    }
    await pause(POLL_MS);
  }
}

function endOf(state: LayoutState | undefined): 'done' | 'failed' | undefined {
  if (state?.change?.state === 'done') return 'done';
  // What was built in vain goes first.
  return state?.change?.state === 'failed' && state.leftovers.length === 0 ? 'failed' : undefined;
}

/**
 * Takes one replica, or all of a layout, off the record. Each call is audited; what still reports is refused.
 *
 * @param which a replicaId, or a number of shards: every replica of such a layout
 */
export async function retireReplicas(
  settings: Settings,
  which: string,
  { reason, model }: { readonly reason: string; readonly model?: string },
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  const named = /^\d+$/.test(which) ? await replicasOfShards(settings, Number(which), model) : [which];
  for (const replicaId of named) {
    await client.call('POST', '/v1/replica-retirements', {
      replicaId,
      ...(model !== undefined && { modelId: model }),
      reason,
    });
    say(`retired ${replicaId}`);
  }
}

async function replicasOfShards(settings: Settings, shards: number, model: string | undefined): Promise<string[]> {
  const galleries = (await listGalleries(settings)).filter(({ modelId }) => model === undefined || model === modelId);
  const named = galleries.flatMap(({ replicasOnRecord }) =>
    replicasOnRecord.filter(({ layout }) => layout.shards === shards).map(({ replicaId }) => replicaId),
  );
  if (named.length > 0) return [...new Set(named)];
  throw new Refusal('REPLICA_NOT_ON_RECORD', `No replica of a layout of ${shards} shards is on record.`);
}

async function listGalleries(settings: Settings): Promise<readonly ListedGallery[]> {
  return galleriesSchema.parse(await new ServiceClient(settings, 'auditor').call('GET', '/v1/galleries')).galleries;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
