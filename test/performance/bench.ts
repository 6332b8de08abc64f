/**
 * `npm run bench -- <name> [--images n] [--json file]`: figures as ratios to something bare in the same run, because the machine is
 * shared and its speed drifts. Medians are quoted.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchBulk } from './bulk.js';
import { benchContracts } from './contracts.js';
import { benchEndToEnd } from './e2e.js';
import { benchEnrol } from './enrol.js';
import { benchEngines } from './engines.js';
import { benchEnrolling } from './enrolling.js';
import { benchGovernance } from './governance.js';
import { benchKafka } from './kafka.js';
import { benchParameters } from './parameters.js';
import type { BenchOptions, BenchResult } from './measure.js';
import { benchRestart, benchRestartMillion } from './restart.js';

const BENCHES: Readonly<Record<string, (options: BenchOptions) => Promise<BenchResult>>> = {
  bulk: benchBulk,
  contracts: benchContracts,
  e2e: benchEndToEnd,
  engines: benchEngines,
  enrol: benchEnrol,
  enrolling: benchEnrolling,
  governance: benchGovernance,
  kafka: benchKafka,
  parameters: benchParameters,
  restart: benchRestart,
  'restart-million': benchRestartMillion,
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, images: { type: 'string' } },
});
const name = positionals[0] ?? '';
const bench = BENCHES[name];
if (bench === undefined) {
  process.stderr.write(`usage: npm run bench -- <${Object.keys(BENCHES).join('|')}> [--images n] [--json file]\n`);
  process.exit(2);
}

const { figures, ratios } = await bench({ images: values.images === undefined ? undefined : Number(values.images) });
for (const { name: figure, value, unit, spread } of figures) {
  process.stdout.write(
    `${figure.padEnd(56)} ${value.toFixed(2).padStart(9)} ${unit}  (${spread.map((v) => v.toFixed(2)).join(' to ')})\n`,
  );
}
for (const { name: ratio, value, goal, holds } of ratios) {
  process.stdout.write(
    `${ratio.padEnd(56)} ${value.toFixed(3).padStart(9)} x  goal ${goal}: ${holds ? 'holds' : 'FALLS SHORT'}\n`,
  );
}
if (values.json !== undefined) {
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, Node ${process.version}`;
  await writeFile(values.json, `${JSON.stringify({ bench: name, machine, figures, ratios }, null, 2)}\n`);
}
process.exit(ratios.every(({ holds }) => holds) ? 0 : 1);
