/**
 * `npm run test:faults [-- --seed N --scenario NAME,… --seconds N]`: whatever may befall a broker, a network and the
 * services, under load, and afterwards whether every image ended as enrolled or refused, once in effect, in the log's
 * order. `--seconds` is about how long all of them may take; the scenarios last in proportion.
 *
 * The last line is `faults N sent N enrolled N refused N lost N resurrected N order violations N recovery median N ms max N ms seed N`.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { localModelPackFolder, localSample } from '../../apps/cli/src/local-assets.js';
import { seededRandom } from '#gallery/vectors-for-tests.js';
import { unlessOffline } from '#testkit/model-pack-for-tests.js';
import { check } from './faults-check.js';
import { openFaultsScene } from './faults-scene.js';
import { SCENARIOS, type Scenario, type ScenarioRun } from './scenarios.js';

/** Of all scenarios at their full length, on two cores. */
const FULL_LENGTH_S = 1_200;
/** Later than that is never; how long it took is said in any case. */
const RECOVERED_WITHIN_MS = 600_000;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    scenario: { type: 'string', default: '' },
    seconds: { type: 'string', default: String(FULL_LENGTH_S) },
  },
});
const seed = Number(values.seed);
const shorter = Math.min(1, Number(values.seconds) / FULL_LENGTH_S);
const wanted = chosen(values.scenario);

const fetched = await unlessOffline(Promise.all([localModelPackFolder(), localSample(() => undefined)]));
if (fetched === undefined) {
  say('skipped: there is no model pack, and nothing to fetch it from');
  process.exit(0);
}
const random = seededRandom(seed);
const opened = await openFaultsScene(...fetched, random);
if (typeof opened === 'string') {
  say(`skipped: ${opened}`);
  process.exit(0);
}
const scene = opened;
const { oracle, load, logs } = scene;
const startedMs = Date.now();
const recoveriesMs: number[] = [];
let faults = 0;
let canaries = 0;
let failure: Error | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (failure ??= new Error(signal)));

for (const scenario of wanted) {
  if (failure !== undefined) break;
  try {
    await tryOut(scenario);
  } catch (error) {
    failure ??= error as Error;
  }
}
await scene.close();

if (failure !== undefined) say(`stopped: ${failure.stack ?? failure.message}`);
const { enrolled, refused, superseded, erased } = oracle.tally;
const ended = scene.services.reduce((sum, { endedByItself }) => sum + endedByItself, 0);
say(`superseded ${superseded}, erased ${erased}, dead letters ${logs.deadLetters}`);
say(`${logs.lateTemplates} templates came late and were put right; services ended by themselves ${ended} times`);
say(`took ${Math.round((Date.now() - startedMs) / 1000)} s`);
const count = (kind: string): number => oracle.findings.filter((finding) => finding.kind === kind).length;
say(
  `faults ${faults} sent ${oracle.records} enrolled ${enrolled} refused ${refused} lost ${count('lost')} ` +
    `resurrected ${count('resurrected')} order violations ${count('order violation')} ` +
    `recovery median ${quantile(0.5)} ms max ${quantile(1)} ms seed ${seed}`,
);
process.exit(oracle.findings.length === 0 && failure === undefined && oracle.records > 0 ? 0 : 1);

async function tryOut(scenario: Scenario): Promise<void> {
  const [beforeMs, foundBefore, recordsBefore] = [Date.now(), oracle.findings.length, oracle.records];
  const own: number[] = [];
  let skipped: string | undefined;
  const run: ScenarioRun = {
    scene,
    random,
    say,
    skip: (why) => (skipped = why),
    recovered: async () => {
      faults++;
      const ms = await untilEnrolled();
      own.push(ms);
      recoveriesMs.push(ms);
    },
  };
  await scenario.run(run, shorter);
  if (skipped !== undefined) {
    say(`${scenario.name}: skipped: ${skipped}`);
    return;
  }
  await check(scene, say);
  for (const { kind, about, text } of oracle.findings.slice(foundBefore)) say(`    ${kind}: ${about}: ${text}`);
  const seconds = Math.round((Date.now() - beforeMs) / 1000);
  say(
    `${scenario.name}: ${oracle.records - recordsBefore} records, recovered after ${own.map((ms) => `${ms} ms`).join(', ') || '–'}, ` +
      `${oracle.findings.length - foundBefore} findings, ${seconds} s`,
  );
}

/** An image that is sent when the fault is over, behind everything that has gathered meanwhile. @returns ms */
async function untilEnrolled(): Promise<number> {
  const beforeMs = Date.now();
  const place = await load.send(load.face(load.imageId(canaries++, 'canary')));
  const outcomes = await oracle.outcomeOf(place, RECOVERED_WITHIN_MS);
  if (outcomes === undefined)
    oracle.find('lost', 'what was sent after the fault', `not enrolled in ${RECOVERED_WITHIN_MS} ms`);
  return Date.now() - beforeMs;
}

function chosen(names: string): readonly Scenario[] {
  if (names === '') return SCENARIOS;
  return names.split(',').map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (found !== undefined) return found;
    say(`There is no scenario ${name}; there are: ${SCENARIOS.map((scenario) => scenario.name).join(', ')}`);
    process.exit(2);
  });
}

function quantile(share: number): number {
  const sorted = recoveriesMs.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
