import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kafkaClassPath, resolveKafkaJars } from './local-broker-jars.js';

const JAVA_17 = '#!/bin/sh\necho \'openjdk version "17.0.15" 2025-04-15\' >&2\n';
/** Writes one jar, with the wrong content, to the folder that it is told. */
const MAVEN_WITH_OTHER_JARS =
  '#!/bin/sh\nfor a in "$@"; do case "$a" in -DoutputDirectory=*) f="${a#-DoutputDirectory=}";; esac; done\n' +
  'echo other > "$f/HdrHistogram-2.2.2.jar"\n';
const MAVEN_WITHOUT_NETWORK = '#!/bin/sh\necho "[ERROR] Could not transfer artifact: Connect timed out"\nexit 1\n';

let folder: string;
let pathBefore: string | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jars-'));
  await mkdir(join(folder, 'bin'));
  pathBefore = process.env['PATH'];
});
afterEach(async () => {
  process.env['PATH'] = pathBefore;
  await rm(folder, { recursive: true, force: true });
});

/** Only these commands, and the shell that runs them, are found. */
async function onlyCommands(commands: Record<string, string>): Promise<void> {
  for (const [name, script] of Object.entries(commands)) {
    await writeFile(join(folder, 'bin', name), script);
    await chmod(join(folder, 'bin', name), 0o755);
  }
  process.env['PATH'] = [join(folder, 'bin'), join(folder, 'none')].join(delimiter);
}

describe('the jars of the local broker', () => {
  it('are not looked for without Java, and the error says what to install', async () => {
    await onlyCommands({});
    await expect(resolveKafkaJars(folder)).rejects.toMatchObject({
      code: 'JAVA_MISSING',
      publicText: expect.stringMatching(/install a Java 17/),
    });
  });

  it('need Java 17', async () => {
    await onlyCommands({ java: '#!/bin/sh\necho \'java version "1.8.0_392"\' >&2\n' });
    await expect(resolveKafkaJars(folder)).rejects.toMatchObject({
      code: 'JAVA_TOO_OLD',
      publicText: expect.stringMatching(/Java 8 is too old/),
    });
  });

  it('need Maven when they are not in the cache', async () => {
    await onlyCommands({ java: JAVA_17 });
    await expect(resolveKafkaJars(folder)).rejects.toMatchObject({ code: 'MAVEN_MISSING' });
  });

  it('are reported as not fetched when no registry answers, with what Maven said', async () => {
    await onlyCommands({ java: JAVA_17, mvn: MAVEN_WITHOUT_NETWORK });
    await expect(resolveKafkaJars(folder)).rejects.toMatchObject({
      code: 'MAVEN_FAILED',
      retryable: true,
      publicText: expect.stringMatching(/Connect timed out/),
    });
  });

  it('are refused, and not kept, when one is not the file that is pinned', async () => {
    await onlyCommands({ java: JAVA_17, mvn: MAVEN_WITH_OTHER_JARS });
    await expect(resolveKafkaJars(folder)).rejects.toMatchObject({ code: 'JAR_HASH_DIFFERS' });
    expect(await readdir(folder)).toEqual(['bin']);
  });

  it('are named one by one in the class path, so that no other file of the folder is loaded', async () => {
    const jars = (await kafkaClassPath('/jars')).split(':');
    expect(jars).toHaveLength(46);
    expect(jars).toContain('/jars/kafka_2.13-4.1.2.jar');
    expect(jars.some((jar) => jar.includes('*'))).toBe(false);
  });
});
