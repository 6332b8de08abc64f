/** `custody gallery generation …`: the gallery of another model, built beside the running one, switched to, and ended. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { Failure, Refusal } from '#domain/errors.js';
import { loadModelPack } from '#face/model-pack.js';
import { pause } from '#kafka/backoff.js';
import type { Settings } from '#platform/settings.js';
import { generationReplicaId } from './generation-processes.js';
import { localModelPackFolder } from './local-assets.js';
import { ServiceClient } from './service-client.js';
import { readWantedGenerations, writeWantedGenerations } from './wanted-generations.js';

const POLL_MS = 1_000;
/** The query service loads a pack, and the index process starts, in a few seconds. */
const TAKEN_UP_MS_MAX = 120_000;

/** What is needed here of `GET /v1/galleries`. */
const galleriesSchema = z.object({
  galleries: z.array(
    z.object({
      modelId: z.string(),
      inForce: z.boolean(),
      enrolled: z.number(),
      complete: z.boolean(),
      progress: z
        .object({
          recordsToGo: z.number(),
          lacking: z.number(),
          lackingByCode: z.record(z.string(), z.number()),
        })
        .nullable(),
      replicasOnRecord: z.array(z.object({ replicaId: z.string(), state: z.string() })),
    }),
  ),
});
type ListedGeneration = z.infer<typeof galleriesSchema>['galleries'][number];

/**
 * Asks the running `custody up` to build the gallery of this pack, and stays until it has caught up.
 *
 * @param packFolder a manifest beside its files
 * @throws Failure MODEL_PACK_…, BAD_SETTING, SYSTEM_NOT_RUNNING
 */
export async function buildGeneration(settings: Settings, packFolder: string): Promise<void> {
  const folder = resolve(packFolder);
  const { modelId, manifest } = await loadModelPack(folder);
  const base = await loadModelPack(await localModelPackFolder());
  if (base.modelId === modelId) {
    throw new Failure('BAD_SETTING', `${packFolder} is the pack that images are enrolled with now.`, false);
  }
  await listGenerations(settings);
  const wanted = await readWantedGenerations(settings.DATA_DIR);
  await writeWantedGenerations(settings.DATA_DIR, { ...wanted, next: folder });
  say(`model ${modelId} (${manifest.name} ${manifest.version}): its gallery is built beside the running one`);
  const deadlineMs = Date.now() + TAKEN_UP_MS_MAX;
  for (let said = ''; ; await pause(POLL_MS)) {
    const built = (await listGenerations(settings)).find((one) => one.modelId === modelId);
    if (built === undefined) {
      if (Date.now() > deadlineMs) {
        throw new Failure('SYSTEM_NOT_RUNNING', `Nothing runs on ${settings.DATA_DIR} that builds it.`, false);
      }
      continue;
    }
    const text = lineOf(built);
    if (text !== said) say(text);
    said = text;
    if (built.progress?.recordsToGo === 0 && built.complete) return;
  }
}

/** Each gallery that the query service has: which is in force, how far each is, and what it lacks. */
export async function generationStatus(settings: Settings, { json }: { readonly json?: boolean }): Promise<void> {
  const generations = await listGenerations(settings);
  if (json === true) say(JSON.stringify(generations, null, 2));
  else for (const generation of generations) say(lineOf(generation));
}

/** @throws Refusal GALLERY_LACKS_IMAGES, MODEL_NOT_APPROVED and so on; Failure GALLERY_BEHIND, THRESHOLD_MISSING */
export async function switchGeneration(
  settings: Settings,
  modelId: string,
  { reason, acceptMissing }: { readonly reason: string; readonly acceptMissing: number },
): Promise<void> {
  const client = new ServiceClient(settings, 'threshold-approver');
  const body = { to: modelId, reason, acceptMissing };
  const { from, since, lacking } = await client.call<{ from: string; since: string; lacking: number }>(
    'POST',
    '/v1/gallery-switches',
    body,
  );
  say(`model ${modelId} is in force since ${since}; it lacks ${lacking} images. Back again: switch ${from}`);
}

/**
 * Ends a gallery that is not in force, in two steps. The first decides it; the second, when its processes have ended,
 * deletes what is left of it. Asked for again, it goes on where it was.
 *
 * @throws Refusal GALLERY_IN_FORCE, GALLERY_LACKS_IMAGES, GALLERY_STILL_HELD
 */
export async function retireGeneration(
  settings: Settings,
  modelId: string,
  { reason }: { readonly reason: string },
): Promise<void> {
  await decideRetirement(settings, modelId, reason);
  const wanted = await readWantedGenerations(settings.DATA_DIR);
  const folder = await localModelPackFolder();
  if ((await loadModelPack(folder)).modelId === modelId) {
    await writeWantedGenerations(settings.DATA_DIR, { base: wanted.next, next: null, former: folder });
    say('step 1 of 2: it is retired. Images are enrolled with the model in force from the next start on:');
    say('end npm start and start it again, then give this command once more.');
    return;
  }
  if (wanted.next !== null && (await loadModelPack(wanted.next)).modelId === modelId) {
    await writeWantedGenerations(settings.DATA_DIR, { ...wanted, next: null });
  }
  await untilLetGo(settings, modelId);
  await untilFollowed(settings, modelId);
  await writeWantedGenerations(settings.DATA_DIR, {
    ...(await readWantedGenerations(settings.DATA_DIR)),
    former: null,
  });
  const { replicas } = await retirementOf(settings, modelId);
  for (const replicaId of new Set(replicas)) await retireReplica(settings, replicaId, modelId, reason);
  // Of the gallery that is the deployment's own now: the replica that held it beside.
  const { modelId: own } = await loadModelPack(folder);
  await retireReplica(settings, generationReplicaId(own), own, reason);
  const dataProtection = new ServiceClient(settings, 'data-protection');
  await dataProtection.call('POST', `/v1/gallery-retirements/${modelId}/destruction`, { reason });
  say(`step 2 of 2: the gallery of model ${modelId} is destroyed; no erasure waits for it any more`);
}

async function decideRetirement(settings: Settings, modelId: string, reason: string): Promise<void> {
  try {
    await new ServiceClient(settings, 'threshold-approver').call('POST', '/v1/gallery-retirements', {
      modelId,
      reason,
    });
  } catch (error) {
    // By the first time that this command was given.
    if (!(error instanceof Refusal) || error.code !== 'GALLERY_RETIRED_BEFORE') throw error;
  }
}

async function untilLetGo(settings: Settings, modelId: string): Promise<void> {
  const deadlineMs = Date.now() + TAKEN_UP_MS_MAX;
  while ((await listGenerations(settings)).some((one) => one.modelId === modelId)) {
    // The destruction says what is in the way.
    if (Date.now() > deadlineMs) return;
    await pause(POLL_MS);
  }
}

/** What was written to it last is in the gallery in force. The destruction refuses otherwise. */
async function untilFollowed(settings: Settings, modelId: string): Promise<void> {
  const deadlineMs = Date.now() + TAKEN_UP_MS_MAX;
  while ((await retirementOf(settings, modelId)).recordsToGo > 0 && Date.now() < deadlineMs) await pause(POLL_MS);
}

function retirementOf(
  settings: Settings,
  modelId: string,
): Promise<{ readonly replicas: readonly string[]; readonly recordsToGo: number }> {
  return new ServiceClient(settings, 'data-protection').call('GET', `/v1/gallery-retirements/${modelId}`);
}

/** Its process has ended, and its snapshots are deleted. Nothing when it is not on record. */
async function retireReplica(settings: Settings, replicaId: string, modelId: string, reason: string): Promise<void> {
  const dataProtection = new ServiceClient(settings, 'data-protection');
  for (const deadlineMs = Date.now() + TAKEN_UP_MS_MAX; ; await pause(POLL_MS)) {
    try {
      await dataProtection.call('POST', '/v1/replica-retirements', { replicaId, modelId, reason });
      say(`replica ${replicaId} retired`);
      return;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === 'REPLICA_NOT_ON_RECORD') return;
      if (error.code !== 'REPLICA_STILL_REPORTING' || Date.now() > deadlineMs) throw error;
    }
  }
}

function lineOf({ modelId, inForce, enrolled, complete, progress }: ListedGeneration): string {
  const parts = [
    `model ${modelId}`,
    inForce ? 'IN FORCE' : 'not in force',
    `${enrolled} enrolled`,
    complete ? 'complete' : 'not complete',
  ];
  if (progress !== null) {
    const { recordsToGo, lacking, lackingByCode } = progress;
    parts.push(recordsToGo === 0 ? 'caught up' : `${recordsToGo} records to go`);
    const why = Object.entries(lackingByCode).map(([code, count]) => `${code} ${count}`);
    parts.push(lacking === 0 ? 'lacks nothing' : `lacks ${lacking} images (${why.join(', ')})`);
  }
  return parts.join(', ');
}

async function listGenerations(settings: Settings): Promise<readonly ListedGeneration[]> {
  return galleriesSchema.parse(await new ServiceClient(settings, 'auditor').call('GET', '/v1/galleries')).galleries;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
