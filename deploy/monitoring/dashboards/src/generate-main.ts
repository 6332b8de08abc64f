/** Part of `npm run generate`: writes the dashboards as Grafana and Kubernetes take them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboardFiles } from './dashboards.js';

const project = process.cwd();
const files = dashboardFiles(readFileSync(join(project, 'deploy/monitoring/alerts.yaml'), 'utf8'));
for (const [path, text] of files) writeFileSync(join(project, path), text);
process.stdout.write(`${files.size} files of dashboards\n`);
