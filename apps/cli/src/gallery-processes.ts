/**
 * The index processes of a local installation, and how their layout changes while searches go on: those of the wanted
 * layout are started beside the running ones and read the log; when every one of them serves, by what the query service
 * hears of them, the layout is in force, and what is left of the former one is stopped, its snapshots are deleted and its
 * replicas retired. Two layouts that answer side by side are merged by partition, so no search misses anything meanwhile.
 *
 *     in force = wanted ──request──▶ building ──all serve──▶ in force, clearing the former ──▶ in force = wanted
 *                                       └──a process cannot start──▶ failed, clearing what was built
 *
 * The state is on disk before each step, and each step can be taken again: whatever interrupts it, the next start goes on.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { describeError } from '#domain/errors.js';
import { pause } from '#kafka/backoff.js';
import { isPortFree } from '#kafka/free-port.js';
import type { Settings } from '#platform/settings.js';
import {
  expectDealable,
  galleryLayoutSchema,
  layoutText,
  replicasOf,
  sameLayout,
  type GalleryLayout,
  type LayoutReplica,
} from './gallery-layout.js';
import type { LocalReplicas } from './local-replicas.js';
import { readStateFile, writeStateFile } from './state-file.js';
import type { Supervisor } from './supervisor.js';

const POLL_MS = 500;
/** What keeps a process from starting does not pass by starting it again for minutes. */
const DEATHS_MAX = 4;
/** A little above what an orphaned service allows itself for its end. */
const FORMER_PORTS_FREE_MS_MAX = 10_000;
const PORT_MAX = 65_535;

const stateSchema = z.strictObject({
  inForce: galleryLayoutSchema,
  wanted: galleryLayoutSchema,
  /** Layouts that may have left processes, snapshots or replicas on record. */
  leftovers: z.array(galleryLayoutSchema),
  /** Of the `custody up` that wrote this last. */
  pid: z.number().int(),
  /** Ports that this installation's index processes listen on. */
  ports: z.array(z.number().int()),
  /** How far a change has come, for the command that asked for it. */
  change: z.strictObject({ state: z.enum(['building', 'clearing', 'done', 'failed']), text: z.string() }).nullable(),
});
export type LayoutState = z.infer<typeof stateSchema>;

/** What is needed of the {@link Supervisor}. */
type ProcessKeeper = Pick<Supervisor, 'start' | 'end' | 'deathsOf'>;
type ReplicaKnowledge = Pick<LocalReplicas, 'serving' | 'retire'>;

interface Running {
  readonly replica: LayoutReplica;
  readonly name: string;
  readonly port: number;
  readonly startedAtMs: number;
}

/** Written by `custody up` alone. */
export function layoutStateFile(dataFolder: string): string {
  return join(dataFolder, 'gallery-layout.json');
}

/** What somebody wants: written by `custody gallery layout`, taken up and removed by `custody up`. */
export function layoutRequestFile(dataFolder: string): string {
  return join(dataFolder, 'gallery-layout-wanted.json');
}

/** @throws Failure STATE_FILE_UNREADABLE */
export async function readLayoutState(dataFolder: string): Promise<LayoutState | undefined> {
  return readStateFile(layoutStateFile(dataFolder), stateSchema);
}

export class GalleryProcesses {
  private readonly running = new Map<string, Running>();
  /** What was said last of what keeps a step from being taken: said once. */
  private saidOfTrouble = '';

  private constructor(
    private readonly settings: Settings,
    private readonly say: (line: string) => void,
    private state: LayoutState,
  ) {}

  /**
   * The layout as an earlier run left it. One that is asked for with this start is built beside it, as later ones are.
   *
   * @param asked undefined to go on with what was wanted before
   * @throws Failure BAD_SETTING, STATE_FILE_UNREADABLE
   */
  static async open(
    settings: Settings,
    say: (line: string) => void,
    asked: GalleryLayout | undefined,
  ): Promise<GalleryProcesses> {
    if (asked !== undefined) {
      expectDealable(asked, settings);
      await rm(layoutRequestFile(settings.DATA_DIR), { force: true });
    }
    const earlier = (await readLayoutState(settings.DATA_DIR)) ?? formerState(settings.DATA_DIR);
    const wanted = asked ?? earlier?.wanted ?? { shards: 1, replicas: 1 };
    const state = earlier ?? { inForce: wanted, wanted, leftovers: [], pid: process.pid, ports: [], change: null };
    const gallery = new GalleryProcesses(settings, say, state);
    gallery.want(wanted);
    return gallery;
  }

  get inForce(): GalleryLayout {
    return this.state.inForce;
  }

  /** Each process that runs now, with its port. */
  get processes(): readonly { readonly name: string; readonly port: number }[] {
    return [...this.running.values()].map(({ name, port }) => ({ name, port }));
  }

  /** Those of an earlier run may still be ending, and write to the same snapshots until they have. */
  async untilFormerOnesEnded(): Promise<void> {
    const deadlineMs = Date.now() + FORMER_PORTS_FREE_MS_MAX;
    for (const port of this.state.ports) {
      while (!(await isPortFree(port)) && Date.now() < deadlineMs) await pause(POLL_MS);
    }
  }

  /** Starts the processes of the layout in force. */
  async start(supervisor: ProcessKeeper): Promise<void> {
    await this.startMissing(supervisor, this.state.inForce);
  }

  /** Carries out what is asked for, one step after the other, until it is told to stop. */
  async follow(supervisor: ProcessKeeper, replicas: ReplicaKnowledge, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.step(supervisor, replicas);
        this.saidOfTrouble = '';
      } catch (error) {
        // The query service may be starting, a replica may still have been heard of a moment ago: tried again.
        const trouble = describeError(error);
        if (trouble !== this.saidOfTrouble && !signal.aborted) this.say(`gallery layout: ${trouble}`);
        this.saidOfTrouble = trouble;
      }
      await pause(POLL_MS, signal);
    }
  }

  /** One step towards what is wanted. Each can be interrupted anywhere, and taken again. */
  async step(supervisor: ProcessKeeper, replicas: ReplicaKnowledge): Promise<void> {
    await this.takeRequest();
    const { inForce, wanted, leftovers, change } = this.state;
    if (!sameLayout(inForce, wanted)) await this.build(supervisor, replicas);
    else if (leftovers.length > 0 || change?.state === 'clearing') await this.clear(supervisor, replicas);
  }

  private async takeRequest(): Promise<void> {
    const file = layoutRequestFile(this.settings.DATA_DIR);
    const asked = await readStateFile(file, galleryLayoutSchema);
    if (asked === undefined) return;
    try {
      expectDealable(asked, this.settings);
    } catch (error) {
      // Not by the settings that this system was started with.
      await this.save({ state: 'failed', text: describeError(error) });
      await rm(file, { force: true });
      return;
    }
    this.want(asked);
    await this.save(sameLayout(asked, this.state.inForce) ? CLEARING : BUILDING);
    await rm(file, { force: true });
  }

  private want(asked: GalleryLayout): void {
    const { inForce, wanted, leftovers } = this.state;
    this.state = {
      ...this.state,
      wanted: asked,
      // What was wanted until now may have been begun.
      leftovers: [...leftovers, wanted].filter((layout) => !sameLayout(layout, asked) && !sameLayout(layout, inForce)),
    };
  }

  private async build(supervisor: ProcessKeeper, replicas: ReplicaKnowledge): Promise<void> {
    const { wanted, inForce } = this.state;
    const ours = replicasOf(wanted, this.settings.DATA_DIR);
    if (ours.some(({ replicaId }) => !this.running.has(replicaId))) {
      this.say(`gallery layout: ${layoutText(wanted)} wanted, ${layoutText(inForce)} in force meanwhile`);
      await this.save(BUILDING);
    }
    await this.startMissing(supervisor, wanted);
    const dead = ours.find(({ replicaId }) => supervisor.deathsOf(this.running.get(replicaId)!.name) >= DEATHS_MAX);
    if (dead !== undefined) {
      const text = `${dead.replicaId} ended ${DEATHS_MAX} times: the lines of its log say why; ${layoutText(inForce)} stays.`;
      this.say(`gallery layout: ${text}`);
      this.want(inForce);
      await this.save({ state: 'failed', text });
      return;
    }
    const serving = await replicas.serving([...this.running.values()]);
    const count = ours.filter(({ replicaId }) => serving.has(replicaId)).length;
    if (count < ours.length) {
      await this.save({ state: 'building', text: `${count} of ${ours.length} replicas of the new layout serve` });
      return;
    }
    this.state = { ...this.state, inForce: wanted, leftovers: [...this.state.leftovers, inForce] };
    await this.save({ state: 'clearing', text: `${layoutText(wanted)} in force` });
    this.say(`gallery layout: ${layoutText(wanted)} in force`);
  }

  /** What is left of other layouts goes: processes, then their snapshots, then their place on record. */
  private async clear(supervisor: ProcessKeeper, replicas: ReplicaKnowledge): Promise<void> {
    const { DATA_DIR } = this.settings;
    const kept = new Set(replicasOf(this.state.inForce, DATA_DIR).map(({ replicaId }) => replicaId));
    const former = this.state.leftovers.flatMap((layout) => replicasOf(layout, DATA_DIR));
    const gone = new Map(former.filter(({ replicaId }) => !kept.has(replicaId)).map((one) => [one.replicaId, one]));
    await Promise.all([...gone.values()].map((replica) => this.remove(supervisor, replica)));
    await replicas.retire([...gone.keys()], `The layout of the gallery is now ${layoutText(this.state.inForce)}.`);
    this.state = { ...this.state, leftovers: [] };
    const failed = this.state.change?.state === 'failed';
    await this.save(failed ? this.state.change : { state: 'done', text: `${layoutText(this.state.inForce)} in force` });
    if (gone.size > 0) this.say(`gallery layout: ${gone.size} former replicas stopped, deleted and retired`);
  }

  private async remove(supervisor: ProcessKeeper, { replicaId, snapshotDir }: LayoutReplica): Promise<void> {
    const running = this.running.get(replicaId);
    if (running !== undefined) await supervisor.end(running.name);
    this.running.delete(replicaId);
    await rm(snapshotDir, { recursive: true, force: true });
  }

  private async startMissing(supervisor: ProcessKeeper, layout: GalleryLayout): Promise<void> {
    for (const replica of replicasOf(layout, this.settings.DATA_DIR)) {
      if (this.running.has(replica.replicaId)) continue;
      const port = await this.nextPort();
      // Two layouts at a time: the short name may be taken by one that is to go.
      const taken = this.processes.some(({ name }) => name === replica.name);
      const name = taken ? `index ${replica.replicaId}` : replica.name;
      this.running.set(replica.replicaId, { replica, name, port, startedAtMs: Date.now() });
      supervisor.start({
        name,
        service: 'index',
        environment: {
          SHARDS: String(replica.shards),
          SHARD: String(replica.shard),
          REPLICA_ID: replica.replicaId,
          SNAPSHOT_DIR: replica.snapshotDir,
          INDEX_PORT: String(port),
        },
      });
    }
    await this.save(this.state.change);
  }

  /** INDEX_PORT, or the next one above that nobody has. */
  private async nextPort(): Promise<number> {
    const { INDEX_PORT, INGEST_PORT, QUERY_PORT, KAFKA_PORT, GENERATION_PORT } = this.settings;
    const reserved = [INGEST_PORT, QUERY_PORT, KAFKA_PORT, GENERATION_PORT];
    const taken = new Set([...reserved, ...this.processes.map(({ port }) => port)]);
    let port = INDEX_PORT;
    while (port < PORT_MAX && (taken.has(port) || !(await isPortFree(port)))) port++;
    return port;
  }

  private async save(change: LayoutState['change']): Promise<void> {
    const next = { ...this.state, change, pid: process.pid, ports: this.processes.map(({ port }) => port) };
    const before = JSON.stringify(this.state);
    this.state = next;
    if (JSON.stringify(next) !== before) await writeStateFile(layoutStateFile(this.settings.DATA_DIR), next);
  }
}

const CLEARING = { state: 'clearing', text: 'what is left of other layouts goes' } as const;
const BUILDING = { state: 'building', text: 'the processes of the new layout are starting' } as const;

/** Of an installation from before there were layouts. */
function formerState(dataFolder: string): LayoutState | undefined {
  const only = { shards: 1, replicas: 1 };
  const [replica] = replicasOf(only, dataFolder);
  if (!existsSync(replica!.snapshotDir)) return undefined;
  return { inForce: only, wanted: only, leftovers: [], pid: process.pid, ports: [], change: null };
}
