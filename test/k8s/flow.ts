/** Whether something that runs in a pod reaches an address, as the network policies let it. */
import { NAMESPACE, run } from './kubectl.js';

const TIMEOUT_MS = 3_000;

/** @returns the status, or `blocked` when nothing answered in time */
export async function reach(pod: string, url: string, namespace = NAMESPACE): Promise<string> {
  const script = `fetch(${JSON.stringify(url)}, { signal: AbortSignal.timeout(${TIMEOUT_MS}) })
    .then((response) => console.log(response.status), (error) => console.log(error.name === 'TimeoutError' ? 'blocked' : String(error.cause ?? error)))`;
  const { ok, text } = await run('kubectl', ['--namespace', namespace, 'exec', pod, '--', 'node', '-e', script]);
  if (!ok) throw new Error(text);
  return text.trim();
}

/** A pod that only waits, in a namespace of its own, to look from outside. The image is one that the node has. */
export function visitor(namespace: string, labels: Readonly<Record<string, string>>): string {
  const container = {
    name: 'visitor',
    image: 'custody.example/face-search-index:current',
    command: ['/usr/bin/tini', '--', 'node', '-e', 'setInterval(() => undefined, 1000)'],
  };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'visitor', namespace },
      spec: { terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, containers: [container] },
    },
  ]
    .map((object) => JSON.stringify(object))
    .join('\n---\n');
}
