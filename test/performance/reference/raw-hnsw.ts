/** hnswlib in C++, compiled with the flags that the addon was built with; see hnsw.cpp. */
import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { projectFolder } from '../../../apps/cli/src/local-assets.js';
import { benchCacheFile } from '../face-vectors.js';

export interface RawTime {
  readonly cpuMs: number;
  readonly clockMs: number;
  readonly checksum: number;
}

export class RawHnsw {
  private constructor(
    private readonly child: ChildProcessByStdio<Writable, Readable, null>,
    private readonly lines: Interface,
    private readonly probesFile: string,
  ) {}

  /** @param probes one after the other. @returns undefined where there is no compiler */
  static async open(
    indexPath: string,
    dimension: number,
    probes: Float32Array,
    k: number,
    ef: number,
  ): Promise<RawHnsw | undefined> {
    const program = await compiled();
    if (program === undefined) return undefined;
    const probesFile = await benchCacheFile(`probes-${process.pid}.f32`);
    await writeFile(probesFile, new Uint8Array(probes.buffer, probes.byteOffset, probes.byteLength));
    const child = spawn(program, [indexPath, `${dimension}`, probesFile, `${k}`, `${ef}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return new RawHnsw(child, createInterface(child.stdout), probesFile);
  }

  load(): Promise<RawTime> {
    return this.tell('load');
  }

  /** Every probe once. */
  search(): Promise<RawTime> {
    return this.tell('search');
  }

  async close(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.stdin.write('quit\n');
    await exited;
    await rm(this.probesFile);
  }

  private async tell(command: string): Promise<RawTime> {
    this.child.stdin.write(`${command}\n`);
    const [line] = (await once(this.lines, 'line')) as [string];
    const [cpuMs, clockMs, checksum] = line.split(' ').map(Number);
    return { cpuMs: cpuMs!, clockMs: clockMs!, checksum: checksum! };
  }
}

async function compiled(): Promise<string | undefined> {
  const folder = dirname(createRequire(import.meta.url).resolve('hnswlib-node/package.json'));
  const target = readFileSync(join(folder, 'build', 'built-for'), 'utf8').split(' ')[0]!;
  const program = await benchCacheFile(`raw-hnsw-${target}`);
  const source = join(projectFolder(), 'test', 'performance', 'reference', 'hnsw.cpp');
  const march = target === 'baseline' ? [] : [`-march=${target}`];
  try {
    execFileSync('g++', ['-O3', '-std=c++17', ...march, '-I', join(folder, 'src'), source, '-o', program]);
    return program;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
