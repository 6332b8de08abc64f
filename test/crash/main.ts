/**
 * `npm run test:crash [-- --kills N --seed N --minutes N]`: the index killed at any moment, and its disk at fault at
 * every step. The last line is `kills N lost N resurrected N mismatches N seed N`.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { localModelPackFolder } from '../../apps/cli/src/local-assets.js';
import { seededRandom } from '#gallery/vectors-for-tests.js';
import { unlessOffline } from '#testkit/model-pack-for-tests.js';
import { CrashRun, type CrashTally } from './crash-run.js';
import { openGalleryScene } from './crash-scene.js';
import { damageEverySection, failEveryStep, fillTheDisk } from './snapshot-faults.js';

const PROGRESS_INTERVAL_MS = 15_000;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    minutes: { type: 'string', default: '14' },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);

const packFolder = await unlessOffline(localModelPackFolder());
if (packFolder === undefined) {
  say('skipped: there is no model pack, and nothing to fetch it from');
  process.exit(0);
}

const scene = await openGalleryScene(packFolder, { SNAPSHOT_INTERVAL_SECONDS: '1', LOG_LEVEL: 'info' });
const limits = { kills, untilMs: Date.now() + Number(values.minutes) * 60_000 };
const run = new CrashRun(scene, seededRandom(seed), limits, say);
const startedMs = Date.now();
const watch = setInterval(() => say(progress(run.tally)), PROGRESS_INTERVAL_MS);
const abandon = (): void => run.abandon();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, abandon);
let failure: Error | undefined;
try {
  await run.run();
} catch (error) {
  failure = error as Error;
} finally {
  clearInterval(watch);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, abandon);
}
const { tally } = run;
let faults = 0;
let wrong = 0;
if (failure === undefined) {
  say(progress(tally));
  for (const bringAbout of [failEveryStep, damageEverySection, fillTheDisk]) {
    const found = await bringAbout(join(scene.folder, 'faults'), seed);
    faults += found.faults;
    wrong += found.lost + found.resurrected + found.mismatches;
    tally.lost += found.lost;
    tally.resurrected += found.resurrected;
    tally.mismatches += found.mismatches;
  }
}
await scene.close();

if (failure !== undefined) say(`stopped: ${failure.stack ?? failure.message}`);
say(`kills by what the process was doing: ${list(tally.moments)}`);
say(`starts by what was done to the snapshots: ${list(tally.tamperings)}`);
say(`written: ${list(run.load.counts)}`);
say(`remarked upon by the processes: ${list(tally.remarks)}`);
const { searches, mates, found, wanted } = tally.approximate;
say(
  `compared: ${tally.replies} replies with ${tally.candidates} candidates, ${tally.verified} starts by a whole sweep`,
);
say(`graph: first candidate right in ${mates} of ${searches} searches, ${found} of ${wanted} candidates found`);
say(`dispositions were in force within ${tally.suppressionLateMsMax} ms at the latest`);
say(`faults ${faults} wrong ${wrong}`);
say(`took ${Math.round((Date.now() - startedMs) / 1000)} s`);
say(
  `kills ${tally.kills} lost ${tally.lost} resurrected ${tally.resurrected} mismatches ${tally.mismatches} seed ${seed}`,
);
const isGood = tally.lost + tally.resurrected + tally.mismatches === 0 && tally.kills >= kills && failure === undefined;
process.exit(isGood ? 0 : 1);

function progress({ kills: done, verified, replies, lost, resurrected, mismatches }: CrashTally): string {
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  return `${seconds} s: ${done} of ${kills} kills, ${verified} starts compared whole, ${replies} replies, ${lost} lost, ${resurrected} resurrected, ${mismatches} mismatches`;
}

function list(counts: Readonly<Record<string, number>>): string {
  return (
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, number]) => `${number} ${name}`)
      .join(', ') || 'none'
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
