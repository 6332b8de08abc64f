/**
 * The jars of a real Kafka broker, for machines without Docker. They are resolved once by Maven into a cache folder,
 * and each is compared with the SHA-256 pinned in `deploy/kafka/jars.sha256` before every use: a jar is code.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { describeError, Failure } from '#domain/errors.js';

export const KAFKA_VERSION = '4.1.2';
/** Of the broker. */
const JAVA_VERSION_MIN = 17;
const MAVEN_DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';
/** 45 MB on a slow line. A registry that does not answer at all is noticed sooner, below. */
const MAVEN_TIMEOUT_MS = 10 * 60_000;
const MAVEN_CONNECT_TIMEOUT_MS = 20_000;
const JAVA_TIMEOUT_MS = 20_000;

const run = promisify(execFile);

/**
 * @param cacheFolder kept between runs; the jars are in its sub-folder `kafka-<version>`
 * @param onProgress told, in a line, what takes long
 * @returns the folder of the verified jars
 * @throws Failure JAVA_MISSING, JAVA_TOO_OLD, MAVEN_MISSING, MAVEN_FAILED, JAR_HASH_DIFFERS
 */
export async function resolveKafkaJars(
  cacheFolder: string,
  onProgress: (line: string) => void = () => {},
): Promise<string> {
  await checkJava();
  const pins = await jarPins();
  const jarsFolder = join(cacheFolder, `kafka-${KAFKA_VERSION}`);
  if ((await firstDifference(jarsFolder, pins)) === undefined) return jarsFolder;
  onProgress(`Fetching Apache Kafka ${KAFKA_VERSION} (${pins.size} jars, 45 MB) with Maven; this happens once.`);
  const fresh = join(cacheFolder, `kafka-${KAFKA_VERSION}.${randomUUID()}.tmp`);
  try {
    await mkdir(fresh, { recursive: true });
    await copyDependencies(fresh);
    const different = await firstDifference(fresh, pins);
    if (different !== undefined) {
      const text = `${different} is missing or is not the file that deploy/kafka/jars.sha256 pins: check the Maven mirror in use.`;
      throw new Failure('JAR_HASH_DIFFERS', text, false);
    }
    await rm(jarsFolder, { recursive: true, force: true });
    // Another process may have been as quick; its jars are as good.
    await rename(fresh, jarsFolder).catch(async (error: unknown) => {
      if ((await firstDifference(jarsFolder, pins)) !== undefined) throw error;
    });
    return jarsFolder;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** The class path: the pinned jars by name, so that nothing else in the folder is loaded. */
export async function kafkaClassPath(jarsFolder: string): Promise<string> {
  return [...(await jarPins()).keys()].map((jar) => join(jarsFolder, jar)).join(':');
}

/** @throws Failure JAVA_MISSING, JAVA_TOO_OLD */
async function checkJava(): Promise<void> {
  let said: string;
  try {
    const { stdout, stderr } = await run('java', ['-version'], { timeout: JAVA_TIMEOUT_MS });
    said = stderr + stdout;
  } catch (error) {
    const text = `Java is not installed: install a Java ${JAVA_VERSION_MIN} runtime (Debian and Ubuntu: openjdk-17-jre-headless), or set KAFKA_BROKERS.`;
    throw new Failure('JAVA_MISSING', text, false, { cause: error });
  }
  const version = Number(/version "(?:1\.)?(\d+)/.exec(said)?.[1]);
  if (version < JAVA_VERSION_MIN) {
    const text = `Java ${version} is too old for Kafka ${KAFKA_VERSION}: install Java ${JAVA_VERSION_MIN} or later, or set KAFKA_BROKERS.`;
    throw new Failure('JAVA_TOO_OLD', text, false);
  }
}

async function copyDependencies(outputFolder: string): Promise<void> {
  const args = [
    '-B',
    '-q',
    '-f',
    join(pinsFolder(), 'pom.xml'),
    `-Dmaven.wagon.http.connectionTimeout=${MAVEN_CONNECT_TIMEOUT_MS}`,
    '-Dmaven.wagon.http.retryHandler.count=1',
    `-Daether.connector.connectTimeout=${MAVEN_CONNECT_TIMEOUT_MS}`,
    `${MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies`,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${outputFolder}`,
  ];
  const maven = run('mvn', args, { timeout: MAVEN_TIMEOUT_MS });
  // Whoever gives up meanwhile leaves no Maven behind that goes on for minutes.
  const end = (): void => void maven.child.kill();
  process.once('exit', end);
  try {
    await maven;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      const text =
        'Maven is not installed, and Kafka is not in the cache: install Maven (package maven), or set KAFKA_BROKERS.';
      throw new Failure('MAVEN_MISSING', text, false, { cause: error });
    }
    throw new Failure('MAVEN_FAILED', mavenFailedText(error), true, { cause: error });
  } finally {
    process.off('exit', end);
  }
}

function mavenFailedText(error: unknown): string {
  const { stdout, killed } = error as { stdout?: string; killed?: boolean };
  const firstError = /^\[ERROR\] (.{1,300})/m.exec(stdout ?? '')?.[1];
  const why =
    killed === true ? `it took longer than ${MAVEN_TIMEOUT_MS / 60_000} minutes` : (firstError ?? describeError(error));
  return `Maven could not fetch Kafka: ${why}. Check the network and the mirror in Maven's settings.xml, or set KAFKA_BROKERS.`;
}

/** @returns the first jar that is missing or differs, or undefined when all are as pinned */
async function firstDifference(folder: string, pins: ReadonlyMap<string, string>): Promise<string | undefined> {
  if (!existsSync(folder)) return folder;
  for (const [jar, pinned] of pins) {
    const file = join(folder, jar);
    const isFile = await stat(file).then(
      (found) => found.isFile(),
      () => false,
    );
    if (!isFile || (await sha256(file)) !== pinned) return jar;
  }
  return undefined;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest('hex');
}

/** SHA-256 in lower-case hexadecimal by file name. */
async function jarPins(): Promise<Map<string, string>> {
  const pins = new Map<string, string>();
  for (const line of (await readFile(join(pinsFolder(), 'jars.sha256'), 'utf8')).split('\n')) {
    const match = /^([0-9a-f]{64}) [ *](\S+\.jar)$/.exec(line);
    if (match) pins.set(match[2]!, match[1]!);
  }
  return pins;
}

/** `deploy/kafka`, seen from the sources as well as from `dist`. */
function pinsFolder(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, 'deploy', 'kafka');
    if (existsSync(join(candidate, 'jars.sha256'))) return candidate;
  }
  throw new Error('deploy/kafka/jars.sha256 is not part of this installation');
}
