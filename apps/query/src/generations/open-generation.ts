/** Loads a model pack, with the processes of its pipeline, and asks its gallery from then on. */
import type { Disposition } from '#domain/disposition.js';
import type { GovernanceState } from '#domain/governance.js';
import type { ImageId } from '#domain/ids.js';
import { FacePool } from '#face/face-pool.js';
import { loadModelPack } from '#face/model-pack.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Publisher } from '#kafka/publisher.js';
import type { Health } from '#platform/health.js';
import type { Log } from '#platform/log.js';
import type { QueryMetrics } from '#platform/metrics.js';
import type { Shutdown } from '#platform/service-process.js';
import type { Settings } from '#platform/settings.js';
import { GalleryClient } from '../searches/gallery-client.js';
import { ProbeSearch } from '../searches/probe-search.js';
import { SearchPermits } from '../searches/search-permits.js';
import { Generations, type Generation } from './generations.js';

interface GenerationParts {
  readonly settings: Settings;
  readonly kafka: KafkaClient;
  readonly publisher: Publisher;
  readonly governance: { readonly state: GovernanceState };
  readonly dispositionOf: (id: ImageId) => Disposition | undefined;
  readonly directions: Pick<DirectionFollower, 'suppressionOf'>;
  readonly metrics: QueryMetrics;
  readonly log: Log;
  readonly onFatal: (error: unknown) => void;
}

/**
 * Its gallery is asked once `gallery.start()` has resolved.
 *
 * @throws Failure MODEL_PACK_…, FACE_PROCESS_NOT_STARTED
 */
async function openGeneration(parts: GenerationParts, packFolder: string): Promise<Generation> {
  const { settings, kafka, publisher, governance, dispositionOf, directions, metrics, log, onFatal } = parts;
  const pack = await loadModelPack(packFolder);
  const { modelId } = pack;
  const faces = await FacePool.open({
    packFolder,
    processes: settings.INFERENCE_CONCURRENCY,
    onProcessLost: (how) => log.error('face-process-lost', { how }),
  });
  const gallery = new GalleryClient(
    kafka,
    publisher,
    modelId,
    settings.REPLICA_ID,
    dispositionOf,
    log,
    onFatal,
    (image, subject) => directions.suppressionOf(image, subject) !== undefined,
  );
  const { evaluationOnly } = pack.manifest.licence;
  const permits = new SearchPermits(governance, { modelId, evaluationOnly }, settings.DEPLOYMENT);
  return { modelId, pack, faces, gallery, permits, search: new ProbeSearch(faces, gallery, permits, metrics) };
}

/** The deployment's generation, and whatever is put beside it later. What was loaded is let go with the shutdown. */
export async function openGenerations(
  parts: GenerationParts,
  health: Health,
  shutdown: Pick<Shutdown, 'before'>,
): Promise<Generations> {
  const { settings, governance, log } = parts;
  const base = await openGeneration(parts, settings.MODEL_PACK_DIR);
  const openNext = async (packFolder: string): Promise<Generation> => {
    const next = await openGeneration(parts, packFolder);
    await next.gallery.start();
    return next;
  };
  const generations = new Generations(base, governance, settings.NEXT_MODEL_PACK_DIR, openNext, health, log);
  shutdown.before('faces', async () => {
    await Promise.all(generations.all().map(({ faces }) => faces.close()));
  });
  return generations;
}
