/**
 * After a fault: waits until every record has its outcome, then compares what the log of templates, the image store and
 * a search of every index replica hold with what the oracle says that they must.
 */
import { TEMPLATE_PARTITIONS } from '#domain/gallery.js';
import type { ImageId } from '#domain/ids.js';
import { operatorForm } from '#testkit/search-forms-for-tests.js';
import { INDEX_REPLICAS, type FaultsScene } from './faults-scene.js';
import type { Expected } from './image-oracle.js';

/** Records wait for their outcomes, and none has come for so long: none will. */
const STALLED_AFTER_MS = 120_000;
/** From then on: what follows an outcome by itself, such as a template that is put back. */
const AS_EXPECTED_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 250;

export async function check(scene: FaultsScene, say: (line: string) => void): Promise<void> {
  const { oracle, logs } = scene;
  await scene.load.stop();
  await logs.readToEnd();
  let [waiting, sinceMs] = [oracle.unanswered, Date.now()];
  while (waiting > 0 && Date.now() < sinceMs + STALLED_AFTER_MS) {
    await pause(LOOK_AGAIN_MS);
    if (oracle.unanswered === waiting) continue;
    [waiting, sinceMs] = [oracle.unanswered, Date.now()];
    if (waiting > 0 && waiting % 500 === 0) say(`    ${waiting} records wait`);
  }
  await Promise.all(scene.services.map((one) => one.untilReady()));
  await logs.readToEnd();
  oracle.judgeOutcomes();
  const untilMs = Date.now() + AS_EXPECTED_WITHIN_MS;
  while (!(await isAsExpected(scene)) && Date.now() < untilMs) await pause(LOOK_AGAIN_MS);
  await everywhere(scene, (where, id, found) => oracle.judgeFound(where, id, found));
  await searchOnce(scene);
  for (const error of scene.fatal.splice(0)) oracle.find('lost', 'a reader of this test', String(error));
}

async function isAsExpected(scene: FaultsScene): Promise<boolean> {
  let isGood = true;
  await scene.logs.readToEnd();
  await everywhere(scene, (_, id, found) => (isGood &&= scene.oracle.isAsExpected(id, found)));
  return isGood;
}

async function everywhere(
  scene: FaultsScene,
  judge: (where: string, id: ImageId, found: Expected | undefined) => void,
): Promise<void> {
  const { oracle, logs, images, load } = scene;
  for (const id of oracle.imageIds) {
    judge('the log of templates', id, logs.lastTemplateOf(id));
    const offset = await images.latestImage(id);
    judge('the image store', id, offset === undefined ? undefined : { offset });
  }
  for (const [force, ids] of load.imagesByForce()) {
    const replies = await scene.askEveryReplica(force);
    for (const replica of INDEX_REPLICAS) {
      const candidates = replies.get(`${replica}/0`)?.candidates ?? [];
      const found = new Map(candidates.map(({ imageId, sourceOffset }) => [imageId, sourceOffset]));
      for (const id of ids) {
        const offset = found.get(id);
        judge(replica, id, offset === undefined ? undefined : { offset });
      }
    }
  }
}

/** The whole way, through the query service. */
async function searchOnce({ queryUrl, officer, portrait, oracle }: FaultsScene): Promise<void> {
  const headers = { authorization: `Bearer ${await officer()}` };
  const body = operatorForm(portrait);
  const answer = await fetch(`${queryUrl}/v1/searches/operator`, { method: 'POST', headers, body });
  const said = (await answer.json()) as { complete?: boolean; gallery?: { partitionsAnswered?: number } };
  if (answer.status !== 200 || said.complete !== true || said.gallery?.partitionsAnswered !== TEMPLATE_PARTITIONS) {
    oracle.find('lost', 'an officer’s search', `answered with ${answer.status} ${JSON.stringify(said).slice(0, 300)}`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
