/**
 * How a client shows who it is: by name and password (SASL/SCRAM), by certificate (mTLS), or not at all. Secrets are
 * read from their files again for each connection that is made, so that a rotated certificate or password is used
 * without a restart; connections that stand are left as they are. Nothing of them is kept or logged here.
 */
import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { ISocketFactoryArgs, KafkaConfig, SASLOptions } from 'kafkajs';
import { Failure } from '#domain/errors.js';

export interface KafkaSecurity {
  /** Absent: the connection is not encrypted. */
  readonly tls?: {
    /** PEM, one authority or several; absent: those that Node knows. */
    readonly caFile?: string;
    /** PEM, both or neither: what this client shows of itself. */
    readonly certFile?: string;
    readonly keyFile?: string;
  };
  readonly sasl?: {
    readonly mechanism: 'SCRAM-SHA-512' | 'SCRAM-SHA-256';
    readonly username: string;
    /** The password is its content, without a line end. */
    readonly passwordFile: string;
  };
}

const KEEP_ALIVE_DELAY_MS = 60_000;

/**
 * @returns what kafkajs takes of it
 * @throws Failure KAFKA_CREDENTIALS_UNREADABLE naming the file
 */
export function securityConfig({ tls, sasl }: KafkaSecurity): Pick<KafkaConfig, 'ssl' | 'sasl' | 'socketFactory'> {
  // Now, too, so that a wrong name ends the start.
  if (tls !== undefined) certificates(tls);
  if (sasl !== undefined) password(sasl.passwordFile);
  return {
    // What kafkajs would make of it is not used: the socket factory reads the files itself.
    ...(tls !== undefined && { ssl: true, socketFactory: (to: ISocketFactoryArgs) => encryptedSocket(to, tls) }),
    ...(sasl !== undefined && { sasl: scram(sasl) }),
  };
}

function encryptedSocket(
  { host, port, onConnect }: ISocketFactoryArgs,
  tls: NonNullable<KafkaSecurity['tls']>,
): Socket {
  const name = isIP(host) === 0 ? { servername: host } : {};
  const socket = connectTls({ host, port, ...name, ...certificates(tls) }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  return socket;
}

function certificates(tls: NonNullable<KafkaSecurity['tls']>): ConnectionOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(tls.caFile !== undefined && { ca: read(tls.caFile) }),
    ...(tls.certFile !== undefined && { cert: read(tls.certFile) }),
    ...(tls.keyFile !== undefined && { key: read(tls.keyFile) }),
  };
}

/** kafkajs asks for the password each time that it authenticates, and keeps none. */
function scram({ mechanism, username, passwordFile }: NonNullable<KafkaSecurity['sasl']>): SASLOptions {
  return {
    mechanism: mechanism.toLowerCase() as 'scram-sha-512' | 'scram-sha-256',
    username,
    get password() {
      return password(passwordFile);
    },
  };
}

function password(file: string): string {
  return read(file).replace(/\r?\n$/, '');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new Failure('KAFKA_CREDENTIALS_UNREADABLE', `${file} cannot be read: ${why}.`, false, { cause });
  }
}
