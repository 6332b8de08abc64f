/**
 * The galleries that this process can search: that of the deployment's model, and, while there is one, that of the model
 * that is to follow. Which of them is searched is in the log of decisions, so that every replica switches at the same
 * record. A search takes the one in force when it is accepted and keeps it to its end: its probe, its threshold, its
 * candidates and its answer are of one model.
 */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, Failure } from '#domain/errors.js';
import type { GovernanceState } from '#domain/governance.js';
import type { ModelId } from '#domain/ids.js';
import type { FacePool } from '#face/face-pool.js';
import { MANIFEST_FILE, modelIdOf, readModelPackManifest, type ModelPack } from '#face/model-pack.js';
import { pause } from '#kafka/backoff.js';
import type { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import type { GalleryClient } from '../searches/gallery-client.js';
import type { ProbeSearch } from '../searches/probe-search.js';
import type { SearchPermits } from '../searches/search-permits.js';

/** One model, and everything of it that a search takes. */
export interface Generation {
  readonly modelId: ModelId;
  readonly pack: Pick<ModelPack, 'manifest'>;
  readonly faces: Pick<FacePool, 'process' | 'modelId' | 'close'>;
  readonly gallery: GalleryClient;
  readonly permits: SearchPermits;
  readonly search: ProbeSearch;
}

/** How soon a pack that is put in place is loaded, and one that is taken away is let go. */
const LOOK_INTERVAL_MS = 2_000;
/** The name of what must hold for this process to be ready. */
const CONDITION = 'model';

export class Generations {
  private next: Generation | undefined;
  /** What was said last of why the next pack cannot be loaded: said once. */
  private trouble = '';

  constructor(
    /** Whose images the register holds, and which ingest enrols into. */
    readonly base: Generation,
    private readonly governance: { readonly state: GovernanceState },
    private readonly nextPackFolder: string,
    /** Loads the pack and joins its gallery. */
    private readonly open: (packFolder: string) => Promise<Generation>,
    private readonly health: Pick<Health, 'fulfilled' | 'lost'>,
    private readonly log: Pick<Log, 'info' | 'warn' | 'error'>,
  ) {}

  /** @throws Failure MODEL_NOT_LOADED when people have switched to a model that this process does not have */
  get inForce(): Generation {
    const modelId = this.modelInForce;
    const generation = this.of(modelId);
    if (generation !== undefined) return generation;
    throw new Failure('MODEL_NOT_LOADED', `Model ${modelId} is in force, and this replica does not have it.`, true);
  }

  /** Whether it is loaded here or not. */
  get modelInForce(): ModelId {
    return this.governance.state.gallery?.modelId ?? this.base.modelId;
  }

  of(model: ModelId): Generation | undefined {
    return this.all().find(({ modelId }) => modelId === model);
  }

  /** The deployment's first. */
  all(): readonly Generation[] {
    return this.next === undefined ? [this.base] : [this.base, this.next];
  }

  /** The one that is built beside the deployment's. */
  get built(): Generation | undefined {
    return this.next;
  }

  /** Loads what is put in place, and lets go of what is taken away, until it is told to stop. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await pause(LOOK_INTERVAL_MS, signal);
    }
  }

  /** Once; resolves when what is there is loaded. Never rejects. */
  async look(): Promise<void> {
    try {
      await this.load(await nextPack(this.nextPackFolder));
      this.trouble = '';
    } catch (error) {
      const trouble = describeError(error);
      if (trouble !== this.trouble) this.log.error('next-model-not-loaded', { error: trouble });
      this.trouble = trouble;
    }
    if (this.of(this.modelInForce) !== undefined) this.health.fulfilled(CONDITION);
    else this.health.lost(CONDITION, `model ${this.modelInForce} is in force and not loaded here`);
  }

  private async load(found: { readonly folder: string; readonly modelId: ModelId } | undefined): Promise<void> {
    const loaded = this.next;
    if (found?.modelId === loaded?.modelId) return;
    if (loaded !== undefined) {
      if (loaded.modelId === this.modelInForce) {
        throw new Error(`model ${loaded.modelId} is in force and its pack is no longer there; it stays in memory`);
      }
      this.next = undefined;
      await loaded.faces.close();
      await loaded.gallery.close();
      this.log.info('next-model-let-go', { modelId: loaded.modelId });
    }
    if (found === undefined || found.modelId === this.base.modelId) return;
    this.next = await this.open(found.folder);
    this.log.info('next-model-loaded', { modelId: found.modelId });
  }
}

/**
 * By its real path: the folder may be a link that is put elsewhere, and the face pipeline's processes must never be of
 * two packs.
 *
 * @returns undefined when there is none
 */
async function nextPack(folder: string): Promise<{ readonly folder: string; readonly modelId: ModelId } | undefined> {
  const real = await realpath(folder).catch(() => undefined);
  if (real === undefined) return undefined;
  try {
    return { folder: real, modelId: modelIdOf(await readModelPackManifest(join(real, MANIFEST_FILE))) };
  } catch (error) {
    if (error instanceof Failure && error.code === 'MODEL_PACK_FILE_MISSING') return undefined;
    throw error;
  }
}
