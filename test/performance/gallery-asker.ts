/** Asks the gallery as the query service does, from a process of its own: the template out, the merged answer back. */
import { GalleryClient } from '../../apps/query/src/searches/gallery-client.js';
import type { ModelId } from '#domain/ids.js';
import { OPERATOR_LIMIT_DEFAULT } from '#domain/operator-search.js';
import { faceLikeVector, seededRandom } from '#gallery/vectors-for-tests.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { createLog } from '#platform/log.js';
import { latenciesMs, obey } from './load-process.js';

const WITHIN_MS = 20_000;

async function main(): Promise<void> {
  const environment = process.env as Record<'KAFKA_BROKERS' | 'MODEL_ID' | 'DIMENSION', string>;
  const log = createLog('gallery-asker', 'error');
  const kafka = new KafkaClient({
    brokers: environment.KAFKA_BROKERS.split(','),
    clientId: 'bench-gallery-asker',
    log,
  });
  const gallery = new GalleryClient(
    kafka,
    kafka.publisher(),
    environment.MODEL_ID as ModelId,
    'bench-gallery-asker',
    () => undefined,
    log,
    (error) => {
      throw error;
    },
  );
  await gallery.start();
  const random = seededRandom(1);
  const probes = Array.from({ length: 100 }, () => faceLikeVector(random, Number(environment.DIMENSION)));
  let asked = 0;
  const ask = async (): Promise<void> => {
    const probe = probes[asked++ % probes.length]!;
    const { missing, candidates } = await gallery.search({
      probe,
      limit: OPERATOR_LIMIT_DEFAULT,
      mode: 'auto',
      filter: undefined,
      withinMs: WITHIN_MS,
    });
    if (missing.length > 0 || candidates.length < OPERATOR_LIMIT_DEFAULT) throw new Error('an answer is not whole');
  };
  obey(({ inFlight, count }: { inFlight: number; count: number }) => latenciesMs(inFlight, count, ask));
}

await main();
