/**
 * A proxy between everybody and the broker that breaks connections on demand: Shopify's toxiproxy, built once by Go into
 * the cache.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { freePort } from '#kafka/free-port.js';
import { goTool } from '#testkit/go-tool.js';

const READY_WITHIN_MS = 10_000;
const PROXY = 'kafka';

export type Toxic =
  | { readonly type: 'latency'; readonly attributes: { readonly latency: number; readonly jitter: number } }
  /** Closes with a reset after so many milliseconds. */
  | { readonly type: 'reset_peer'; readonly attributes: { readonly timeout: number } }
  /** 0: nothing comes through, and nothing is closed. */
  | { readonly type: 'timeout'; readonly attributes: { readonly timeout: 0 } };

export class Toxiproxy {
  private constructor(
    private readonly child: ChildProcess,
    private readonly url: string,
    /** Where clients connect. */
    readonly port: number,
  ) {}

  /** @returns why it cannot be had, in words, when it cannot */
  static async start(brokerPort: number): Promise<Toxiproxy | string> {
    const server = goTool('github.com/Shopify/toxiproxy/v2/cmd/server', 'v2.12.0');
    if ('missing' in server) return `toxiproxy is missing: ${server.missing}`;
    const [apiPort, port] = [await freePort(), await freePort()];
    const child = spawn(server.path, ['-host', '127.0.0.1', '-port', String(apiPort)], { stdio: 'ignore' });
    const proxy = new Toxiproxy(child, `http://127.0.0.1:${apiPort}`, port);
    const deadlineMs = Date.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        const [listen, upstream] = [`127.0.0.1:${port}`, `127.0.0.1:${brokerPort}`];
        await proxy.ask('POST', '/proxies', { name: PROXY, listen, upstream, enabled: true });
        return proxy;
      } catch (error) {
        if (Date.now() > deadlineMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** In both directions, for what is connected now and for what connects later. */
  async poison(toxic: Toxic): Promise<void> {
    for (const stream of ['upstream', 'downstream']) {
      await this.ask('POST', `/proxies/${PROXY}/toxics`, { ...toxic, name: stream, stream, toxicity: 1 });
    }
  }

  /** Everything passes again. */
  async heal(): Promise<void> {
    await this.ask('POST', '/reset');
  }

  close(): void {
    this.child.kill('SIGTERM');
  }

  private async ask(method: string, path: string, body?: object): Promise<void> {
    const answer = await fetch(this.url + path, { method, ...(body && { body: JSON.stringify(body) }) });
    if (!answer.ok) throw new Error(`toxiproxy: ${method} ${path} is answered with ${answer.status}`);
  }
}
