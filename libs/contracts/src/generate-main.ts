/**
 * `npm run generate`: writes every generated file and removes those that are no longer generated. With `--publish` it also
 * takes what is there now for the published contract, which a release does.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { prometheusRule } from './prometheus-rule.js';
import { GENERATED_FOLDERS, generatedFiles, PUBLISHED_CONTRACT, publishedContract } from './generated-files.js';

const project = process.cwd();
const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { version: string };
const files = new Map(generatedFiles(version));
files.set(
  'k8s/components/monitoring/prometheus-rule.yaml',
  prometheusRule(
    ['recording', 'alerts'].map((name) => readFileSync(join(project, `deploy/monitoring/${name}.yaml`), 'utf8')),
  ),
);
if (process.argv.includes('--publish')) files.set(PUBLISHED_CONTRACT, publishedContract(version));

for (const folder of GENERATED_FOLDERS) {
  mkdirSync(join(project, folder), { recursive: true });
  for (const name of readdirSync(join(project, folder), { withFileTypes: true })) {
    const path = `${folder}/${name.name}`;
    if (name.isFile() && !files.has(path)) rmSync(join(project, path));
  }
}
for (const [path, text] of files) {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), text);
}
process.stdout.write(`${files.size} files\n`);
