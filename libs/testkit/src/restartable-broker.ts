import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { clientForTests } from './kafka-test-helpers.js';

/** A broker of one test's own, which it may stop, kill and start again on the same port with the same data. */
export class RestartableBroker {
  private broker: LocalBroker | undefined;

  private constructor(
    private readonly dataFolder: string,
    private readonly jarsFolder: string,
    private readonly port: number,
  ) {}

  static async start(): Promise<RestartableBroker> {
    const jarsFolder = await resolveKafkaJars(cacheFolder());
    const dataFolder = await mkdtemp(join(tmpdir(), 'custody-kafka-'));
    const restartable = new RestartableBroker(dataFolder, jarsFolder, await freePort());
    await restartable.start();
    return restartable;
  }

  get brokers(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.broker = await LocalBroker.start({
      dataFolder: this.dataFolder,
      port: this.port,
      jarsFolder: this.jarsFolder,
    });
  }

  /** @throws whatever a client meets when it does not answer */
  async expectAnswer(): Promise<void> {
    await clientForTests(this.brokers).topicAdmin().brokerCount();
  }

  async stop(): Promise<void> {
    await this.broker?.stop();
  }

  async kill9(): Promise<void> {
    await this.broker?.kill9();
  }

  /** It keeps its connections and its port, and does nothing until `thaw`. */
  freeze(): void {
    process.kill(this.broker!.pid, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(this.broker!.pid, 'SIGCONT');
  }

  /** Stops the broker and removes its data. */
  async dispose(): Promise<void> {
    await this.stop();
    await rm(this.dataFolder, { recursive: true, force: true });
  }
}
