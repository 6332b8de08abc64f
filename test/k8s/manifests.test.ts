/**
 * Every overlay as a real API server takes it, strictly and with warnings as errors; and what it must not take: variants
 * with one thing wrong, each refused for that thing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECT_FOLDER } from '../conventions/project-files.js';

const TOOLS = join(PROJECT_FOLDER, '..', 'shared', 'k8s-node');
const OVERLAYS = ['dev', 'production', 'high-availability'] as const;
const START_TIMEOUT_MS = 300_000;
/** Not in a folder of an overlay file system, where containers cannot be. */
const RUN_PARENT = '/run';

const missing = process.env['KUBECONFIG'] === undefined && !existsSync(TOOLS);
if (missing)
  process.stderr.write('The manifests are not applied: there is neither KUBECONFIG nor ../shared/k8s-node.\n');

interface Done {
  readonly ok: boolean;
  readonly text: string;
}

function run(command: string, args: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Done {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], {
    input,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  return { ok: status === 0, text: `${stdout}${stderr}${error === undefined ? '' : String(error)}` };
}

/** What is wrong, where, and what the server must name. */
const BAD: readonly {
  readonly what: string;
  readonly find: string | RegExp;
  readonly put: string;
  readonly refusal: RegExp;
}[] = [
  {
    what: 'a process that may gain privileges',
    find: 'allowPrivilegeEscalation: false',
    put: 'allowPrivilegeEscalation: true',
    refusal: /allowPrivilegeEscalation/,
  },
  {
    what: 'a process that may be root',
    find: 'runAsNonRoot: true',
    put: 'runAsNonRoot: false',
    refusal: /runAsNonRoot/,
  },
  { what: 'the user root', find: 'runAsUser: 65532', put: 'runAsUser: 0', refusal: /runAsUser=0/ },
  {
    what: 'kept capabilities',
    find: 'drop:\n            - ALL',
    put: 'drop:\n            - KILL',
    refusal: /unrestricted capabilities/,
  },
  { what: 'no seccomp profile', find: 'type: RuntimeDefault', put: 'type: Unconfined', refusal: /seccompProfile/ },
  {
    what: 'the network of the node',
    find: 'enableServiceLinks: false',
    put: 'enableServiceLinks: false\n      hostNetwork: true',
    refusal: /host namespaces/,
  },
  {
    what: 'a folder of the node',
    find: /- emptyDir:\n\s+medium: Memory\n\s+sizeLimit: 256Mi/,
    put: '- hostPath:\n          path: /',
    refusal: /hostPath/,
  },
  {
    what: 'a misspelt field',
    find: 'minReadySeconds: 5',
    put: 'minReadySecond: 5',
    refusal: /field not declared in schema/,
  },
  {
    what: 'an unknown way to start pods',
    find: 'podManagementPolicy: Parallel',
    put: 'podManagementPolicy: AllAtOnce',
    refusal: /podManagementPolicy/,
  },
  {
    what: 'more memory requested than allowed',
    find: 'memory: 768Mi',
    put: 'memory: 9Gi',
    refusal: /must be less than or equal to memory limit/,
  },
  {
    what: 'a volume that is not there',
    find: 'name: tmp\n        - mountPath',
    put: 'name: temp\n        - mountPath',
    refusal: /volumeMounts/,
  },
  {
    what: 'a budget with two bounds',
    find: 'maxUnavailable: 1\n  selector',
    put: 'maxUnavailable: 1\n  minAvailable: 1\n  selector',
    refusal: /minAvailable and maxUnavailable/,
  },
  {
    what: 'an autoscaler whose least is above its most',
    find: 'maxReplicas: 12',
    put: 'maxReplicas: 1',
    refusal: /maxReplicas/,
  },
  { what: 'a protocol that is none', find: 'protocol: UDP', put: 'protocol: HTTP', refusal: /protocol/ },
  {
    what: 'a deployment that does not select its own pods',
    find: 'matchLabels:\n      app.kubernetes.io/name: ingest\n  strategy',
    put: 'matchLabels:\n      app.kubernetes.io/name: another\n  strategy',
    refusal: /selector/,
  },
  {
    what: 'a monitor with a misspelt field',
    find: 'podMetricsEndpoints:',
    put: 'podMetricEndpoints:',
    refusal: /podMetric/,
  },
];

describe.skipIf(missing)('the manifests', () => {
  let folder: string;
  const rendered = new Map<string, string>();
  const tool = (name: string, ...args: string[]): Done =>
    run(join(TOOLS, name), args, '', { K8S_NODE_RUN: join(folder, 'node') });
  const kubectl = (args: readonly string[], input = ''): Done =>
    process.env['KUBECONFIG'] === undefined
      ? run(join(TOOLS, 'kubectl'), args, input, { K8S_NODE_RUN: join(folder, 'node') })
      : run('kubectl', args, input);
  const apply = (yaml: string): Done =>
    kubectl(
      // The pods' tests leave a cluster that others have changed; the question here is whether it is valid.
      [
        'apply',
        '--server-side',
        '--force-conflicts',
        '--dry-run=server',
        '--validate=strict',
        '--warnings-as-errors',
        '-f',
        '-',
      ],
      yaml,
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(RUN_PARENT, 'custody-manifests-'));
    const steps = [
      ...(process.env['KUBECONFIG'] === undefined ? [() => tool('install'), () => tool('up', '--pvs', '1')] : []),
      () => tool('crds', join(folder, 'crds')),
      () => kubectl(['apply', '--server-side', '-f', join(folder, 'crds')]),
    ];
    for (const step of steps) {
      const { ok, text } = step();
      if (!ok) throw new Error(text.slice(-2000));
    }
    for (const overlay of OVERLAYS) {
      const { ok, text } = kubectl(['kustomize', join(PROJECT_FOLDER, 'k8s', 'overlays', overlay)]);
      if (!ok) throw new Error(text);
      rendered.set(overlay, text);
      // A dry run of what lies in a namespace needs the namespace.
      const namespace = text.split('---\n').find((object) => object.includes('kind: Namespace'))!;
      kubectl(['apply', '--server-side', '-f', '-'], namespace);
    }
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    if (process.env['KUBECONFIG'] === undefined) tool('down');
    await rm(folder, { recursive: true, force: true });
  });

  it.each(OVERLAYS)('of %s are taken by the server, strictly and without a warning', (overlay) => {
    const { ok, text } = apply(rendered.get(overlay)!);
    expect(ok, text).toBe(true);
  });

  it.each(BAD)('with $what are refused', ({ find, put, refusal }) => {
    const good = rendered.get('production')!;
    const bad = good.replace(find, put);
    expect(bad).not.toBe(good);
    const { ok, text } = apply(bad);
    expect(ok, text).toBe(false);
    expect(text).toMatch(refusal);
  });

  it('never autoscale the index, and never fix the number of what is autoscaled', () => {
    for (const overlay of ['production', 'high-availability']) {
      const objects = rendered.get(overlay)!.split('---\n');
      const scaled = objects.filter((object) => object.includes('kind: HorizontalPodAutoscaler'));
      expect(scaled.map((object) => /scaleTargetRef:[^]*?name: (\S+)/.exec(object)?.[1]).toSorted()).toEqual([
        'ingest',
        'query',
      ]);
      for (const deployment of objects.filter((object) => object.includes('kind: Deployment\n'))) {
        expect(deployment).not.toMatch(/^ {2}replicas:/m);
      }
    }
  });
});
