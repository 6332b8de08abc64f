/**
 * The rules of deploy/monitoring as the Prometheus operator takes them: the same groups under an object of its own kind.
 *
 * @param ruleFiles the files' texts, each `groups:` and then its list, as Prometheus itself reads them
 */
export function prometheusRule(ruleFiles: readonly string[]): string {
  const groups = ruleFiles.flatMap((text) => text.slice(text.indexOf('groups:\n') + 'groups:\n'.length).split('\n'));
  return [
    '# Generated from deploy/monitoring by `npm run generate`: do not edit.',
    'apiVersion: monitoring.coreos.com/v1',
    'kind: PrometheusRule',
    'metadata:',
    '  name: custody-face-search',
    'spec:',
    '  groups:',
    ...groups.filter((line) => line.trim() !== '').map((line) => `  ${line}`),
    '',
  ].join('\n');
}
