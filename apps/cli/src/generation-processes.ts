/**
 * The processes of a local installation that build and hold the gallery of the next model, beside the running ones: one
 * that makes its templates, one that holds it, and the pack where the query service looks for it. What is wanted is in a
 * file, which the commands write and `custody up` carries out, now and at every start.
 */
import { readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { generationTopics } from '#contracts/topics.js';
import { describeError } from '#domain/errors.js';
import { loadModelPack } from '#face/model-pack.js';
import { pause } from '#kafka/backoff.js';
import { isPortFree } from '#kafka/free-port.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { kafkaConnection } from '#platform/kafka-settings.js';
import { createLog } from '#platform/log.js';
import type { Settings } from '#platform/settings.js';
import type { Supervisor } from './supervisor.js';
import { readWantedGenerations, type WantedGenerations } from './wanted-generations.js';

const POLL_MS = 500;
const BUILDER = 'generation';
const HOLDER = 'index generation';

/** The name of the only replica of a gallery that is built beside. */
export function generationReplicaId(modelId: string): string {
  return `generation-${modelId}`;
}

/** What is to run beside, and why. */
type Beside =
  /** The gallery of the pack is built and held. */
  | { readonly task: 'build'; readonly folder: string }
  /** The deployment's own gallery follows what was written last to the one before. */
  | { readonly task: 'finish'; readonly from: string };

export class GenerationProcesses {
  private running: { readonly beside: Beside; readonly modelId: string } | undefined;
  /** What was said last of what keeps it from what is wanted: said once. */
  private saidOfTrouble = '';

  /** @param settings MODEL_PACK_DIR: the pack that this run enrols with */
  constructor(
    private readonly settings: Settings,
    private readonly supervisor: Supervisor,
    private readonly say: (line: string) => void,
  ) {}

  /** Does what is wanted, until it is told to stop. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.step(this.besideOf(await readWantedGenerations(this.settings.DATA_DIR)));
        this.saidOfTrouble = '';
      } catch (error) {
        const trouble = describeError(error);
        if (trouble !== this.saidOfTrouble && !signal.aborted) this.say(`next model: ${trouble}`);
        this.saidOfTrouble = trouble;
      }
      await pause(POLL_MS, signal);
    }
  }

  private besideOf({ base, next, former }: WantedGenerations): Beside | undefined {
    if (next !== null) return { task: 'build', folder: next };
    if (base === null) return undefined;
    // What ingest is to enrol with from the next start on is built beside until then: searches are of it.
    if (base !== this.settings.MODEL_PACK_DIR) return { task: 'build', folder: base };
    return former === null ? undefined : { task: 'finish', from: former };
  }

  private async step(beside: Beside | undefined): Promise<void> {
    if (JSON.stringify(this.running?.beside) !== JSON.stringify(beside)) await this.end();
    if (beside?.task !== 'build') await this.removeLeftovers();
    if (this.running !== undefined || beside === undefined) return;
    this.running = { beside, modelId: await this.begin(beside) };
  }

  /** Of a gallery that was built beside and is now the deployment's own, or was given up while nothing ran. */
  private async removeLeftovers(): Promise<void> {
    const { NEXT_MODEL_PACK_DIR, DATA_DIR } = this.settings;
    await rm(NEXT_MODEL_PACK_DIR, { force: true });
    const snapshots = join(DATA_DIR, 'snapshots');
    const folders = await readdir(snapshots).catch(() => []);
    for (const folder of folders.filter((name) => name.startsWith(generationReplicaId('')))) {
      await rm(join(snapshots, folder), { recursive: true, force: true });
    }
  }

  /** @returns the model whose gallery is written */
  private async begin(beside: Beside): Promise<string> {
    const { MODEL_PACK_DIR, NEXT_MODEL_PACK_DIR } = this.settings;
    if (beside.task === 'finish') {
      const { modelId } = await loadModelPack(MODEL_PACK_DIR);
      await this.startBuilder({ MODEL_PACK_DIR: beside.from, NEXT_MODEL_PACK_DIR: MODEL_PACK_DIR });
      return modelId;
    }
    const { folder } = beside;
    const { modelId } = await loadModelPack(folder);
    await this.applyTopics(modelId);
    await placeLink(folder, NEXT_MODEL_PACK_DIR);
    await this.startBuilder({ NEXT_MODEL_PACK_DIR: folder });
    this.startHolder(folder, modelId);
    this.say(`next model ${modelId}: its gallery is built beside the running one`);
    return modelId;
  }

  private async startBuilder(environment: Readonly<Record<string, string>>): Promise<void> {
    const { GENERATION_PORT } = this.settings;
    const port = (await isPortFree(GENERATION_PORT)) ? GENERATION_PORT : 0;
    this.supervisor.start({
      name: BUILDER,
      service: 'ingest',
      entry: 'generation-main.js',
      environment: { ...environment, GENERATION_PORT: String(port) },
    });
  }

  private startHolder(folder: string, modelId: string): void {
    this.supervisor.start({
      name: HOLDER,
      service: 'index',
      environment: {
        MODEL_PACK_DIR: folder,
        SHARDS: '1',
        SHARD: '0',
        REPLICA_ID: generationReplicaId(modelId),
        SNAPSHOT_DIR: join(this.settings.DATA_DIR, 'snapshots', generationReplicaId(modelId)),
        // Nobody asks for it by number: what it says of itself is on Kafka.
        INDEX_PORT: '0',
      },
    });
  }

  private async end(): Promise<void> {
    if (this.running === undefined) return;
    await Promise.all([this.supervisor.end(BUILDER), this.supervisor.end(HOLDER)]);
    await this.removeLeftovers();
    this.say(`next model ${this.running.modelId}: the processes beside are stopped, their snapshots deleted`);
    this.running = undefined;
  }

  private async applyTopics(modelId: Parameters<typeof generationTopics>[0]['modelId']): Promise<void> {
    const { KAFKA_REPLICATION: replication, TOPIC_PROFILE: profile } = this.settings;
    const client = new KafkaClient({
      ...kafkaConnection(this.settings),
      clientId: 'custody-up',
      log: createLog('up', 'error'),
    });
    try {
      await client.topicAdmin().applyTopics(generationTopics({ modelId, profile, replication }));
    } finally {
      await client.close();
    }
  }
}

/** Put in place as a whole: whoever looks finds the former pack, or this one. */
async function placeLink(folder: string, link: string): Promise<void> {
  if ((await readlink(link).catch(() => undefined)) === folder) return;
  const temporary = `${link}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  await symlink(folder, temporary);
  await rename(temporary, link);
}
