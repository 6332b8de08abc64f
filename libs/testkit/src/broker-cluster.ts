/** Three real brokers in three processes, each with a copy of everything: one may be away. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker, newClusterId } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';

interface Node {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
  broker: LocalBroker | undefined;
}

const COPIES = { 'offsets.topic.replication.factor': '3', 'transaction.state.log.replication.factor': '3' };
const IN_SYNC = { 'min.insync.replicas': '2', 'transaction.state.log.min.isr': '2' };

export class BrokerCluster {
  private readonly clusterId = newClusterId();

  private constructor(
    private readonly folder: string,
    private readonly jarsFolder: string,
    private readonly nodes: readonly Node[],
  ) {}

  static async start(): Promise<BrokerCluster> {
    const nodes: Node[] = [];
    for (const id of [1, 2, 3]) {
      nodes.push({ id, port: await freePort(), controllerPort: await freePort(), broker: undefined });
    }
    const folder = await mkdtemp(join(tmpdir(), 'custody-cluster-'));
    const cluster = new BrokerCluster(folder, await resolveKafkaJars(cacheFolder()), nodes);
    // Together: none is there before two of them have agreed.
    await Promise.all(nodes.map(({ id }) => cluster.startNode(id)));
    return cluster;
  }

  /** Comma-separated. */
  get brokers(): string {
    return this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
  }

  async startNode(id: number): Promise<void> {
    const node = this.nodes.find((one) => one.id === id)!;
    const voters = this.nodes.map((one) => `${one.id}@127.0.0.1:${one.controllerPort}`).join(',');
    node.broker = await LocalBroker.start({
      dataFolder: join(this.folder, `broker-${id}`),
      port: node.port,
      jarsFolder: this.jarsFolder,
      controllerPort: node.controllerPort,
      format: { clusterId: this.clusterId },
      config: { 'node.id': String(id), 'controller.quorum.voters': voters, ...COPIES, ...IN_SYNC },
    });
  }

  /** As a power cut does to one of them. */
  async kill9(id: number): Promise<void> {
    await this.nodes.find((one) => one.id === id)!.broker?.kill9();
  }

  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map(async ({ broker }) => broker?.stop()));
    await rm(this.folder, { recursive: true, force: true });
  }
}
