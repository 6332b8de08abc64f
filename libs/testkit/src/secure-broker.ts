/**
 * A real broker that lets nobody do what no ACL permits: users by name and password (SASL_SSL) and by certificate (SSL),
 * each the same principal on both listeners. Its plain listener is for the test itself, which may do everything.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#kafka/free-port.js';
import type { KafkaSecurity } from '#kafka/kafka-security.js';
import { resolveKafkaJars } from '#kafka/local-broker-jars.js';
import { LocalBroker } from '#kafka/local-broker.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { joinPem, TestAuthority } from './test-certificates.js';

export type ShownBy = 'password' | 'certificate';

/** What the broker's authorizer has decided once. */
export interface Decision {
  readonly principal: string;
  readonly allowed: boolean;
  /** Kafka's name: `DESCRIBE_CONFIGS`. */
  readonly operation: string;
  /** `Topic:LITERAL:custody.images.v1`. */
  readonly resource: string;
}

const AUTHORIZER_LOG = '-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug';
const DECISION =
  /Principal = User:(\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ (?:for|on) resource = (\S+)/;

export class SecureBroker {
  readonly decisions: Decision[] = [];
  private broker: LocalBroker | undefined;
  private authority!: TestAuthority;

  private constructor(
    readonly folder: string,
    private readonly jarsFolder: string,
    private readonly users: readonly string[],
    private readonly ports: { readonly plain: number; readonly sasl: number; readonly tls: number },
    private readonly logsDecisions: boolean,
  ) {}

  static async start(users: readonly string[], { logsDecisions = false } = {}): Promise<SecureBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'custody-kafka-'));
    const ports = { plain: await freePort(), sasl: await freePort(), tls: await freePort() };
    const broker = new SecureBroker(folder, await resolveKafkaJars(cacheFolder()), users, ports, logsDecisions);
    for (const user of users) await writeFile(broker.passwordFile(user), `${randomBytes(18).toString('base64url')}\n`);
    await broker.changeAuthority();
    await broker.start();
    return broker;
  }

  /** For the test itself. */
  get adminBrokers(): string {
    return `127.0.0.1:${this.ports.plain}`;
  }

  brokersFor(by: ShownBy): string {
    return `127.0.0.1:${by === 'password' ? this.ports.sasl : this.ports.tls}`;
  }

  passwordFile(user: string): string {
    return join(this.folder, `${user}.password`);
  }

  /** How a client is this user. */
  security(user: string, by: ShownBy): KafkaSecurity {
    const caFile = this.file('trusted.pem');
    if (by === 'password') {
      return {
        tls: { caFile },
        sasl: { mechanism: 'SCRAM-SHA-512', username: user, passwordFile: this.passwordFile(user) },
      };
    }
    return { tls: { caFile, certFile: this.file(`${user}.crt`), keyFile: this.file(`${user}.key`) } };
  }

  /** How a process is this user. */
  environment(user: string, by: ShownBy): Record<string, string> {
    const { tls, sasl } = this.security(user, by);
    return {
      KAFKA_BROKERS: this.brokersFor(by),
      KAFKA_SECURITY_PROTOCOL: sasl === undefined ? 'SSL' : 'SASL_SSL',
      KAFKA_TLS_CA_FILE: tls!.caFile!,
      ...(sasl !== undefined && { KAFKA_SASL_USERNAME: user, KAFKA_SASL_PASSWORD_FILE: sasl.passwordFile }),
      ...(tls!.certFile !== undefined && { KAFKA_TLS_CERT_FILE: tls!.certFile, KAFKA_TLS_KEY_FILE: tls!.keyFile! }),
    };
  }

  /** A new authority, and new certificates of the broker and of every user. The broker shows and trusts them when it starts again. */
  async changeAuthority(): Promise<void> {
    this.authority = await TestAuthority.create(this.folder);
    const broker = await this.authority.issue('broker', this.folder);
    await joinPem(this.file('broker.pem'), broker.keyFile, broker.certFile);
    await joinPem(this.file('trusted.pem'), this.authority.certificateFile);
    for (const user of this.users) await this.authority.issue(user, this.folder);
  }

  async start(): Promise<void> {
    const scram = await Promise.all(
      this.users.map(async (user) => {
        const password = (await readFile(this.passwordFile(user), 'utf8')).trim();
        return ['--add-scram', `SCRAM-SHA-512=[name=${user},password=${password}]`];
      }),
    );
    this.broker = await LocalBroker.start({
      dataFolder: join(this.folder, 'broker'),
      port: this.ports.plain,
      jarsFolder: this.jarsFolder,
      listeners: { SASL_SSL: this.ports.sasl, SSL: this.ports.tls },
      format: { arguments: scram.flat() },
      javaOptions: this.logsDecisions ? [AUTHORIZER_LOG] : [],
      onLog: (line) => this.hear(line),
      config: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // The plain listener's, which is the controller's and the test's own.
        'super.users': 'User:ANONYMOUS',
        'sasl.enabled.mechanisms': 'SCRAM-SHA-512',
        'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config':
          'org.apache.kafka.common.security.scram.ScramLoginModule required;',
        'listener.name.ssl.ssl.client.auth': 'required',
        'ssl.principal.mapping.rules': 'RULE:^CN=([^,]+)$/$1/,DEFAULT',
        'ssl.keystore.type': 'PEM',
        'ssl.keystore.location': this.file('broker.pem'),
        'ssl.truststore.type': 'PEM',
        'ssl.truststore.location': this.file('trusted.pem'),
      },
    });
  }

  async stop(): Promise<void> {
    await this.broker?.stop();
  }

  async dispose(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  private file(name: string): string {
    return join(this.folder, name);
  }

  private hear(line: string): void {
    const match = DECISION.exec(line);
    if (match === null) return;
    const [, principal, verdict, operation, resource] = match;
    this.decisions.push({
      principal: principal!,
      allowed: verdict === 'Allowed',
      operation: operation!,
      resource: resource!,
    });
  }
}
