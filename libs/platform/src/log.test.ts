import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

/** Far above the start of a process; one that is stuck would be stuck for ever. */
const ENDED_WITHIN_MS = 15_000;

describe('the log of a process', () => {
  it('does not keep it from ending when nobody reads any more', async () => {
    const module = new URL('./log.ts', import.meta.url).href;
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { createLog } from ${JSON.stringify(module)};
         const log = createLog('test', 'info');
         log.info('started');
         process.stdin.once('end', () => { log.warn('nobody-reads'); log.warn('anything'); process.exit(7); }).resume();`,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(ENDED_WITHIN_MS) });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(JSON.parse(line.toString())).toMatchObject({ level: 'info', service: 'test', event: 'started' });
    child.stdout.destroy();
    await once(child.stdout, 'close');
    child.stdin.end();
    await expect(ended).resolves.toEqual([7, null]);
  });

  it('says of each line which trace it belongs to, and of others nothing', () => {
    const { stdout } = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
         import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
         import { createLog } from ${JSON.stringify(new URL('./log.ts', import.meta.url).href)};
         const log = createLog('test', 'info');
         context.setGlobalContextManager(new AsyncLocalStorageContextManager());
         const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 0 };
         context.with(trace.setSpanContext(ROOT_CONTEXT, span), async () => { await null; log.info('within'); });
         log.info('without');`,
      ],
      { encoding: 'utf8', cwd: import.meta.dirname },
    );
    const [without, within] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(within).toMatchObject({ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' });
    expect(Object.keys(without!)).toEqual(['level', 'time', 'service', 'pid', 'event']);
  });
});
