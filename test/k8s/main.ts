/**
 * `npm run test:k8s [-- --images FOLDER] [-- vitest's own arguments]`: the manifests and the pods, tried on a real node that
 * is made for them and thrown away. Builds the images of this checkout, and those of the commit before it for the upgrade;
 * FOLDER has both already, as this command leaves them (`current/` and `previous/`).
 *
 * With KUBECONFIG the manifests are tried on that cluster, and no pod is run there. Without it, and without
 * ../shared/k8s-node, nothing is.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheFolder } from '#platform/cache-folder.js';

const PROJECT_FOLDER = join(fileURLToPath(import.meta.url), '..', '..', '..', '..');
const TOOLS = join(PROJECT_FOLDER, '..', 'shared', 'k8s-node');
const VITEST = ['npx', 'vitest', 'run', '--project', 'k8s'];
/** Not in a folder of an overlay file system, where containers cannot be. */
const RUN_PARENT = '/run';
const TARGETS = ['ingest', 'index', 'query', 'cli'] as const;
const NEEDED = ['buildah', 'mmdebstrap', 'prometheus', 'java'] as const;
/** Claims: two snapshots, the images, the seals; and one that a pod may have taken in vain. */
const VOLUMES = ['--pvs', '6', '--pv-size', '10Gi'];

const { values, positionals } = parseArgs({ options: { images: { type: 'string' } }, allowPositionals: true });

const [vitest, ...vitestArguments] = VITEST;
if (process.env['KUBECONFIG'] !== undefined || !existsSync(TOOLS)) {
  process.exit(await run(vitest!, [...vitestArguments, ...positionals]));
}
const lacking = NEEDED.filter((command) => spawnSync('which', [command]).status !== 0);
if (lacking.length > 0) {
  process.stderr.write(`Only the manifests are tried: the images take ${lacking.join(', ')}.\n`);
  process.exit(await run(vitest!, [...vitestArguments, 'test/k8s/manifests.test.ts']));
}

const folder = await mkdtemp(join(RUN_PARENT, 'custody-k8s-'));
const node = { K8S_NODE_RUN: join(folder, 'node') };
const built = values.images ?? join(cacheFolder(), 'k8s-images');
let code: number;
const end = async (): Promise<void> => {
  await run(join(TOOLS, 'down'), [], node);
  await rm(folder, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end().then(() => process.exit(1)));
try {
  await must(join(TOOLS, 'install'), []);
  if (values.images === undefined) await buildImages();
  await must(join(TOOLS, 'up'), VOLUMES, node);
  const archives = (['previous', 'current'] as const).flatMap((tag) =>
    TARGETS.map((target) => join(built, tag, `${target}.tar`)),
  );
  for (const archive of archives) await must(join(TOOLS, 'load'), [archive], node);
  code = await run(join(TOOLS, 'in'), [...VITEST, ...positionals], node);
} finally {
  await end();
}
process.exit(code);

async function buildImages(): Promise<void> {
  const scripts = join(PROJECT_FOLDER, 'deploy', 'images');
  const bases = join(cacheFolder(), 'image-bases');
  if (!existsSync(join(bases, 'build-base.tar'))) await must(join(scripts, 'make-bases'), [bases]);
  const before = join(folder, 'before');
  await mkdir(before);
  // What is not committed yet is an upgrade of the last commit, and that one of the commit before it.
  const isChanged = spawnSync('git', ['status', '--porcelain', '--', 'apps', 'libs'], { cwd: PROJECT_FOLDER });
  const commit = isChanged.stdout.length > 0 ? 'HEAD' : 'HEAD~1';
  await must('sh', ['-c', `git -C '${PROJECT_FOLDER}' archive ${commit} | tar -x -C '${before}'`]);
  for (const [tag, source] of [
    ['previous', before],
    ['current', PROJECT_FOLDER],
  ] as const) {
    const pinned = (name: string): string => `oci-archive:${join(bases, `${name}.tar`)}`;
    const given = ['--base', pinned('base'), '--build-base', pinned('build-base'), '--tag', tag];
    const from = ['--source', source, '--out', join(built, tag)];
    await must(join(scripts, 'build'), [...given, ...from]);
  }
}

async function must(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  if ((await run(command, args, env)) !== 0) throw new Error(`${command} ${args.join(' ')} has failed`);
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(command, [...args], {
    cwd: PROJECT_FOLDER,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => resolve(status ?? 1));
  });
}
