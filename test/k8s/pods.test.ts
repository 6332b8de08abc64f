/**
 * The whole system as pods, beside a real Kafka and a real Prometheus, while it is upgraded, rolled, killed and drained.
 * The tests follow each other on one system: what one has broken it puts right.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { haveFaces } from '../accuracy/faces.js';
import { PROJECT_FOLDER } from '../conventions/project-files.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { reach, visitor } from './flow.js';
import { apply, isReady, kubectl, NAMESPACE, podsOf, run, untilReady, type Pod } from './kubectl.js';
import { NODE_ADDRESS, PodsScene } from './pods-scene.js';
import { startPrometheus, type WatchedPods } from './prometheus.js';

const INSTALL_MS = 400_000;
/** A rollout of two pods, on two cores that also do everything else. */
const ROLLOUT_MS = 300_000;
const WORKLOADS = {
  index: 'statefulset/index-shard-0',
  ingest: 'deployment/ingest',
  query: 'deployment/query',
} as const;
const SERVICES = ['index', 'ingest', 'query'] as const;
/** Of the dev overlay. */
const REQUESTED_MIB = 512;
const LATENCY_SAMPLE = 200;
/** Of the histogram's quantile to the client's. */
const LATENCY_TOLERANCE = 0.15;

const isInNode = process.env['K8S_NODE_RUN'] !== undefined;
if (!isInNode) process.stderr.write('The pods do not run: that takes a node around the tests (npm run test:k8s).\n');
else if (!haveFaces) process.stderr.write('The pods do not run: there are no photographs in ../shared/data.\n');

describe.skipIf(!isInNode || !haveFaces)('the system as pods', () => {
  let scene: PodsScene;
  let watched: WatchedPods;

  beforeAll(async () => {
    scene = await PodsScene.open();
    await scene.install('previous');
    await scene.enrolPeople();
    watched = await startPrometheus(scene.folder);
  }, INSTALL_MS);

  afterAll(async () => {
    await watched?.prometheus.close();
    await scene?.close();
  }, 60_000);

  /** While searches go on, none of which may fail. @returns how many there were */
  async function underSearchLoad(act: () => Promise<unknown>): Promise<number> {
    const load = scene.startSearching();
    try {
      await load.more(2);
      await act();
      await load.more(4);
    } finally {
      await load.stop();
    }
    expect(load.failed).toEqual([]);
    return load.latenciesMs.length;
  }

  async function rolledOut(service: keyof typeof WORKLOADS): Promise<void> {
    await kubectl(['rollout', 'status', WORKLOADS[service], `--timeout=${ROLLOUT_MS / 1000}s`]);
    await untilReady(service, 2);
  }

  /** The only pod of the index, once it is another one or has been restarted. */
  async function indexAgain(isAnother: (pod: Pod) => boolean): Promise<Pod> {
    return eventually(
      async () => {
        const [pod] = await podsOf('index');
        if (pod === undefined || !isAnother(pod) || !isReady(pod)) throw new Error('the index is not back');
        return pod;
      },
      { timeoutMs: 180_000, intervalMs: 500 },
    );
  }

  async function templatesRestored(pod: string): Promise<number> {
    const log = await kubectl(['logs', pod]);
    const line = log.split('\n').find((text) => text.includes('"event":"snapshot-restored"'));
    return line === undefined ? 0 : (JSON.parse(line) as { templates: number }).templates;
  }

  const claimOf = ({ spec }: Pod): string | undefined =>
    spec.volumes.find(({ persistentVolumeClaim }) => persistentVolumeClaim !== undefined)?.persistentVolumeClaim
      ?.claimName;

  it('enrols photographs, and finds the people in others', async () => {
    expect(await scene.rightAnswers()).toBe(scene.probes.length);
  });

  it(
    'is upgraded from the previous images, one service after the other, without a failed search, and has its gallery still',
    async () => {
      for (const service of SERVICES) {
        await underSearchLoad(async () => {
          const image = `${service}=custody.example/face-search-${service}:current`;
          await kubectl(['set', 'image', WORKLOADS[service], image]);
          await rolledOut(service);
        });
      }
      await scene.install('current');
      for (const service of SERVICES) await rolledOut(service);
      expect(await scene.rightAnswers()).toBe(scene.probes.length);
    },
    3 * ROLLOUT_MS,
  );

  it('runs each service as nobody, under tini, and writes only to its volumes', async () => {
    const script = `const fs = require('node:fs');
      const may = (folder) => { try { fs.writeFileSync(folder + '/x', ''); fs.rmSync(folder + '/x'); return true; } catch { return false; } };
      console.log(JSON.stringify({ user: process.getuid(), first: fs.readFileSync('/proc/1/comm', 'utf8').trim(), app: may('/app'), root: may('/'), data: may('/data') }));`;
    for (const service of [...SERVICES, 'audit-sealer']) {
      const [pod] = await podsOf(service);
      const said = await kubectl(['exec', pod!.metadata.name, '--', 'node', '-e', script]);
      expect(JSON.parse(said), service).toEqual({ user: 65532, first: 'tini', app: false, root: false, data: true });
    }
  });

  it('sends one trace of a search, from query and from the index, to the collector', async () => {
    expect(await scene.rightAnswers()).toBe(scene.probes.length);
    await eventually(
      () => {
        const searches = scene.collector.spans.filter(({ name }) => name === 'POST /v1/searches/operator');
        const services = searches.map(({ traceId }) => scene.collector.ofTrace(traceId).map(({ service }) => service));
        const withBoth = services.filter((of) => of.some((name) => name.includes('index')));
        expect(withBoth.length, JSON.stringify(services.at(-1))).toBeGreaterThan(0);
      },
      { timeoutMs: 30_000, intervalMs: 500 },
    );
  });

  it('is scraped by Prometheus, every pod of it', async () => {
    const pods = await watched.watchEveryPod();
    expect(pods).toBe(7);
    await eventually(async () => expect(await watched.prometheus.value('sum(up)'), 'pods that answer').toBe(pods), {
      timeoutMs: 30_000,
      intervalMs: 500,
    });
    // What the autoscalers of k8s/components/autoscaling select.
    for (const topic of ['custody.images.v1', 'searches.requests.v1']) {
      expect(await watched.prometheus.instant(`custody_consumer_lag_records{topic="${topic}"}`), topic).not.toEqual([]);
    }
  }, 60_000);

  it('shows the latency that its clients see, to 15 %', async () => {
    // Nothing before it in the range.
    const startedMs = Date.now();
    const load = scene.startSearching();
    await load.more(LATENCY_SAMPLE);
    await load.stop();
    expect(load.failed).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const range = `${Math.ceil((Date.now() - startedMs) / 1000)}s`;
    const latencies = load.latenciesMs.toSorted((a, b) => a - b);
    for (const quantile of [0.5, 0.9]) {
      const expression = `histogram_quantile(${quantile}, sum by (le) (increase(custody_search_duration_seconds_bucket{kind="operator"}[${range}])))`;
      const shownSeconds = (await watched.prometheus.value(expression))!;
      const seenMs = latencies[Math.floor(quantile * latencies.length)]!;
      const ratio = (shownSeconds * 1000) / seenMs;
      process.stdout.write(`latency quantile ${quantile}: Prometheus to client ${ratio.toFixed(3)}\n`);
      expect(Math.abs(ratio - 1), `${quantile}: ${shownSeconds} s, clients ${seenMs} ms`).toBeLessThan(
        LATENCY_TOLERANCE,
      );
    }
  }, 300_000);

  it('has needed no more memory than it requests', async () => {
    // Peak of everything in the container, page cache included; version 1 and 2 of cgroups.
    const script = `const fs = require('node:fs'); const root = '/sys/fs/cgroup/';
      const file = ['memory.peak', 'memory/memory.max_usage_in_bytes'].find((name) => fs.existsSync(root + name));
      console.log(fs.readFileSync(root + file, 'utf8'));`;
    const shares: Record<string, number> = {};
    for (const service of [...SERVICES, 'audit-sealer']) {
      for (const { metadata } of await podsOf(service)) {
        const peakBytes = Number(await kubectl(['exec', metadata.name, '--', 'node', '-e', script]));
        const share = peakBytes / (REQUESTED_MIB * 1024 * 1024);
        shares[service] = Math.max(shares[service] ?? 0, share);
      }
    }
    const text = Object.entries(shares).map(([service, share]) => `${service} ${share.toFixed(2)}`);
    process.stdout.write(`peak memory to request: ${text.join(', ')}\n`);
    expect(Object.values(shares).filter((share) => share > 1)).toEqual([]);
  }, 60_000);

  it.each(['index', 'query'] as const)(
    'is restarted pod by pod without a failed search: %s',
    async (service) => {
      await underSearchLoad(async () => {
        await kubectl(['rollout', 'restart', WORKLOADS[service]]);
        await rolledOut(service);
      });
    },
    ROLLOUT_MS + 60_000,
  );

  it(
    'is restarted pod by pod without a failed search, and takes every image that is sent: ingest',
    async () => {
      const statuses: number[] = [];
      let done = false;
      const sending = (async () => {
        for (let number = 0; !done; number++) {
          const { image, subjectId } = scene.probes[number % scene.probes.length]!;
          statuses.push((await scene.send(`again-${number % scene.probes.length}`, subjectId, image)).status);
          await new Promise((resolve) => setTimeout(resolve, 250));
        }
      })();
      await underSearchLoad(async () => {
        await kubectl(['rollout', 'restart', WORKLOADS.ingest]);
        await rolledOut('ingest');
      }).finally(() => (done = true));
      await sending;
      expect(statuses.length).toBeGreaterThan(10);
      expect(statuses.filter((status) => status !== 202)).toEqual([]);
    },
    ROLLOUT_MS + 60_000,
  );

  it(
    'gives up one pod to an eviction, and refuses the second until the first is replaced',
    async () => {
      const evict = ({ metadata: { name } }: Pod): ReturnType<typeof run> =>
        run(
          'kubectl',
          ['create', '--raw', `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`, '-f', '-'],
          JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: NAMESPACE } }),
        );
      await underSearchLoad(async () => {
        const [first, second] = await podsOf('index');
        expect((await evict(first!)).ok).toBe(true);
        const refused = await evict(second!);
        expect(refused.ok).toBe(false);
        expect(refused.text).toContain('disruption budget');
        await untilReady('index', 2);
      });
    },
    ROLLOUT_MS,
  );

  it(
    'survives a bad image: the old pods serve on, and the rollout is undone',
    async () => {
      await underSearchLoad(async () => {
        // A process that starts and never listens where query does.
        await kubectl(['set', 'image', WORKLOADS.query, 'query=custody.example/face-search-index:current']);
        await eventually(
          async () => {
            const pods = await podsOf('query');
            if (pods.length < 3) throw new Error('the bad pod has not come');
            expect(pods.filter(isReady)).toHaveLength(2);
          },
          { timeoutMs: 30_000, intervalMs: 250 },
        );
        const waited = await run('kubectl', ['-n', NAMESPACE, 'rollout', 'status', WORKLOADS.query, '--timeout=15s']);
        expect(waited.ok).toBe(false);
        await kubectl(['rollout', 'undo', WORKLOADS.query]);
        await rolledOut('query');
      });
    },
    ROLLOUT_MS,
  );

  describe('with one replica of the index', () => {
    beforeAll(async () => {
      await kubectl(['scale', WORKLOADS.index, '--replicas=1']);
      await untilReady('index', 1);
    }, ROLLOUT_MS);

    it(
      'has its volume, its snapshot and its answers again after the pod was deleted',
      async () => {
        const [before] = await podsOf('index');
        await kubectl(['delete', 'pod', before!.metadata.name, '--wait=false']);
        const after = await indexAgain(({ metadata }) => metadata.uid !== before!.metadata.uid);
        expect(claimOf(after)).toBe(claimOf(before!));
        expect(await templatesRestored(after.metadata.name)).toBeGreaterThanOrEqual(scene.enrolled);
        expect(await scene.rightAnswers()).toBe(scene.probes.length);
      },
      ROLLOUT_MS,
    );

    it(
      'has them again after its process was killed',
      async () => {
        const [before] = await podsOf('index');
        const restarts = before!.status.containerStatuses![0]!.restartCount;
        const kill = `const fs = require('node:fs'); for (const pid of fs.readdirSync('/proc').filter(Number)) {
        if (!['1', String(process.pid)].includes(pid) && fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8').includes('apps/index/src/main.js')) process.kill(Number(pid), 'SIGKILL'); }`;
        await run('kubectl', ['-n', NAMESPACE, 'exec', before!.metadata.name, '--', 'node', '-e', kill]);
        const after = await indexAgain(({ status }) => (status.containerStatuses?.[0]?.restartCount ?? 0) > restarts);
        expect(after.metadata.uid).toBe(before!.metadata.uid);
        expect(await templatesRestored(after.metadata.name)).toBeGreaterThanOrEqual(scene.enrolled);
        expect(await scene.rightAnswers()).toBe(scene.probes.length);
      },
      ROLLOUT_MS,
    );
  });

  describe('with a replica gone that Prometheus still expects', () => {
    let goneAtMs: number;

    beforeAll(async () => {
      await kubectl(['scale', WORKLOADS.index, '--replicas=2']);
      await untilReady('index', 2);
      await watched.watchEveryPod();
      await eventually(async () => expect(await watched.prometheus.value('count(up == 1)')).toBe(7), {
        timeoutMs: 30_000,
        intervalMs: 500,
      });
      // Earlier tests have taken pods away under its eyes.
      await eventually(async () => expect(await watched.prometheus.firing()).not.toContain('TargetDown'), {
        timeoutMs: 30_000,
        intervalMs: 500,
      });
      goneAtMs = Date.now();
      await kubectl(['scale', WORKLOADS.index, '--replicas=1']);
    }, ROLLOUT_MS);

    it('lets pass the flows that are named, and blocks others, while it works', async () => {
      const stranger = createServer((_request, response) => response.end()).listen(20_095, NODE_ADDRESS);
      try {
        await apply(visitor('friends', { 'custody-face-search/clients': 'true' }));
        await apply(visitor('strangers', {}));
        for (const namespace of ['friends', 'strangers']) {
          await run('kubectl', ['-n', namespace, 'wait', '--for=condition=Ready', 'pod/visitor', '--timeout=60s']);
        }
        const [query] = await podsOf('query');
        const [index] = await podsOf('index');
        const live = `http://query.${NAMESPACE}.svc/health/live`;
        const indexUrl = `http://${index!.status.podIP}:8082/health/live`;
        const elsewhere = `http://${NODE_ADDRESS}:20095/`;
        // Someone may go there whom no policy selects, so it is the policy that blocks.
        expect(await reach('visitor', elsewhere, 'strangers')).toBe('200');
        await eventually(async () => expect(await reach('visitor', live, 'friends')).toBe('200'));
        await eventually(async () => expect(await reach('visitor', live, 'strangers')).toBe('blocked'));
        expect(await reach('visitor', indexUrl, 'friends')).toBe('blocked');
        expect(await reach(query!.metadata.name, indexUrl)).toBe('blocked');
        expect(await reach(query!.metadata.name, elsewhere)).toBe('blocked');
        expect(await scene.rightAnswers()).toBe(scene.probes.length);
      } finally {
        stranger.close();
        await kubectl(['delete', 'namespace', 'friends', 'strangers', '--wait=false']);
      }
    }, 180_000);

    it(
      'has more pods of ingest when images wait in the log',
      async () => {
        const metrics = join(scene.folder, 'metrics.json');
        const adapter = join(PROJECT_FOLDER, '..', 'shared', 'k8s-node', 'external-metrics.mjs');
        // 500 a pod are what it aims at. Nobody measures processors here, and then it goes up and never down.
        await writeFile(metrics, JSON.stringify({ custody_consumer_lag_records: 1_000 }));
        const { text } = await run(adapter, ['--manifest']);
        await run('kubectl', ['apply', '-f', '-'], text);
        const server = spawn(adapter, [metrics], { stdio: 'ignore' });
        try {
          await kubectl(['apply', '-f', join(PROJECT_FOLDER, 'k8s', 'components', 'autoscaling', 'ingest.yaml')]);
          const desired = async (): Promise<number> =>
            Number(await kubectl(['get', 'hpa', 'ingest', '-o', 'jsonpath={.status.desiredReplicas}']));
          await eventually(async () => expect(await desired()).toBe(2), { timeoutMs: 60_000, intervalMs: 500 });
          await writeFile(metrics, JSON.stringify({ custody_consumer_lag_records: 1_400 }));
          await eventually(async () => expect(await desired()).toBe(3), { timeoutMs: 60_000, intervalMs: 500 });
          await untilReady('ingest', 3);
        } finally {
          server.kill('SIGTERM');
          await kubectl(['delete', 'hpa', 'ingest']);
          await kubectl(['scale', WORKLOADS.ingest, '--replicas=2']);
        }
      },
      ROLLOUT_MS,
    );

    it('raises TargetDown after two minutes and ShardDown after five, and neither once the replica is back', async () => {
      const seenAfterS = new Map<string, number>();
      await eventually(
        async () => {
          const firing = await watched.prometheus.firing();
          for (const name of firing) {
            if (!seenAfterS.has(name)) seenAfterS.set(name, (Date.now() - goneAtMs) / 1000);
          }
          expect(firing).toEqual(expect.arrayContaining(['ShardDown', 'TargetDown']));
        },
        { timeoutMs: 420_000, intervalMs: 1_000 },
      );
      expect(seenAfterS.get('ShardDown')).toBeGreaterThan(300);
      await kubectl(['scale', WORKLOADS.index, '--replicas=2']);
      await untilReady('index', 2);
      await watched.watchEveryPod();
      await eventually(
        async () => {
          const firing = await watched.prometheus.firing();
          expect(firing.filter((name) => ['ShardDown', 'TargetDown'].includes(name))).toEqual([]);
        },
        { timeoutMs: 60_000, intervalMs: 500 },
      );
    }, 600_000);
  });

  it(
    'loses one pod of each to a drain, which then waits, and searches on',
    async () => {
      const [node] = (await kubectl(['get', 'nodes', '-o', 'name'])).trim().split('\n');
      const drain = ['drain', node!, '--delete-emptydir-data', '--ignore-daemonsets'];
      await underSearchLoad(async () => {
        const drained = await run('kubectl', [...drain, '--timeout=20s']);
        expect(drained.ok).toBe(false);
        expect(drained.text).toContain('disruption budget');
        for (const service of SERVICES) expect((await podsOf(service)).filter(isReady), service).toHaveLength(1);
        await kubectl(['uncordon', node!]);
        for (const service of SERVICES) await untilReady(service, 2);
      });
    },
    ROLLOUT_MS,
  );

  it(
    'is whole again after all of it was drained from its node',
    async () => {
      const [node] = (await kubectl(['get', 'nodes', '-o', 'name'])).trim().split('\n');
      // Past the budgets, as in an emergency: there is no other node that could hold the second of each.
      await kubectl(['drain', node!, '--delete-emptydir-data', '--ignore-daemonsets', '--disable-eviction']);
      for (const service of SERVICES) expect((await podsOf(service)).filter(isReady), service).toEqual([]);
      await kubectl(['uncordon', node!]);
      for (const service of SERVICES) await untilReady(service, 2);
      expect(await scene.rightAnswers()).toBe(scene.probes.length);
    },
    ROLLOUT_MS,
  );
});
