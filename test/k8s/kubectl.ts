/** kubectl as the administrator of the cluster that KUBECONFIG names. */
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

export interface Done {
  readonly ok: boolean;
  /** What it printed, on both streams. */
  readonly text: string;
}

/** Runs while the caller goes on: searches must not stop for it. */
export function run(command: string, args: readonly string[], input = ''): Promise<Done> {
  return new Promise((resolve) => {
    const child = spawn(command, [...args]);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.once('error', (error) => resolve({ ok: false, text: String(error) }));
    child.once('close', (code) => resolve({ ok: code === 0, text }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

export const NAMESPACE = 'custody-dev';

/** In the namespace of the system. @throws Error with what it printed, when it fails */
export function kubectl(args: readonly string[], input = ''): Promise<string> {
  return anywhere(['--namespace', NAMESPACE, ...args], input);
}

async function anywhere(args: readonly string[], input: string): Promise<string> {
  const { ok, text } = await run('kubectl', args, input);
  if (!ok) throw new Error(`kubectl ${args.join(' ')}: ${text.slice(-2000)}`);
  return text;
}

/** Server-side, strictly, and with warnings as errors, in the namespace that each object names. */
export function apply(yaml: string): Promise<string> {
  return anywhere(
    ['apply', '--server-side', '--force-conflicts', '--validate=strict', '--warnings-as-errors', '-f', '-'],
    yaml,
  );
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly volumes: readonly { readonly persistentVolumeClaim?: { readonly claimName: string } }[] };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly containerID?: string }[];
  };
}

/** Those of one service (`app.kubernetes.io/name`), by name; those that are being deleted are left out. */
export async function podsOf(service: string): Promise<Pod[]> {
  const text = await kubectl(['get', 'pods', '-l', `app.kubernetes.io/name=${service}`, '-o', 'json']);
  const { items } = JSON.parse(text) as { items: Pod[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
}

/** @throws Error with the pods and the latest events */
export async function untilReady(service: string, count: number, withinMs = 240_000): Promise<Pod[]> {
  const deadlineMs = Date.now() + withinMs;
  for (;;) {
    const pods = await podsOf(service);
    if (pods.length === count && pods.every(isReady)) return pods;
    if (Date.now() > deadlineMs) throw new Error(`${count} ${service} are not ready:\n${await situation(service)}`);
    await pause(500);
  }
}

/** For whoever reads why a test failed. */
export async function situation(service: string): Promise<string> {
  const label = ['-l', `app.kubernetes.io/name=${service}`];
  const texts = await Promise.all([
    run('kubectl', ['-n', NAMESPACE, 'get', 'pods', '-o', 'wide']),
    run('kubectl', ['-n', NAMESPACE, 'get', 'events', '--sort-by=.lastTimestamp']),
    run('kubectl', ['-n', NAMESPACE, 'logs', ...label, '--tail=5', '--prefix']),
  ]);
  return texts.map(({ text }) => text.slice(-3000)).join('\n');
}
