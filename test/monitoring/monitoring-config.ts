/** This project's configuration of Prometheus, for processes on this machine that are looked at more often. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Services by name, with the addresses of their processes. */
export type Targets = Readonly<Record<'query' | 'ingest' | 'index', readonly string[]>>;

/** As the configuration has them. */
const PLACES: Readonly<Record<keyof Targets, string>> = {
  query: 'query:8080',
  ingest: 'ingest:8081',
  index: 'index:8082',
};
const RULES = ['recording.yaml', 'alerts.yaml'];

/**
 * @param monitoringFolder with prometheus.yaml and the rules that it names
 * @throws Error when the configuration has not what is to be replaced
 */
export async function monitoringConfig(
  monitoringFolder: string,
  targets: Targets,
  scrapeSeconds: number,
): Promise<string> {
  let config = await readFile(join(monitoringFolder, 'prometheus.yaml'), 'utf8');
  const replace = (what: string | RegExp, by: string): void => {
    const before = config;
    config = before.replace(what, by);
    if (config === before) throw new Error(`prometheus.yaml has no ${String(what)}`);
  };
  for (const [service, place] of Object.entries(PLACES) as [keyof Targets, string][]) {
    replace(place, targets[service].map((address) => `'${address}'`).join(', '));
  }
  for (const rules of RULES) replace(`- ${rules}`, `- ${join(monitoringFolder, rules)}`);
  replace(/scrape_interval: \w+/, `scrape_interval: ${scrapeSeconds}s`);
  replace(/evaluation_interval: \w+/, `evaluation_interval: ${scrapeSeconds}s`);
  return config;
}
