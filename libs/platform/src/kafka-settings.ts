/** How the brokers are reached: the settings, and the connection that they describe. */
import { z } from 'zod';
import { Failure } from '#domain/errors.js';
import { count, list, port, setting, type Values } from './setting.js';

/** Of the table in ./settings.ts. */
export const KAFKA_SETTINGS = {
  KAFKA_PORT: setting(port, '9092', 'Port of the broker that `npm start` starts.'),
  KAFKA_BROKERS: setting(
    list,
    (text) => `127.0.0.1:${text('KAFKA_PORT')}`,
    'Kafka brokers, `host:port`, comma-separated. When set, `npm start` starts no broker.',
    '`127.0.0.1:<KAFKA_PORT>`',
  ),
  KAFKA_SECURITY_PROTOCOL: setting(
    z.enum(['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL']),
    'PLAINTEXT',
    'How the brokers are spoken to; in production `SSL` (a certificate says who this is) or `SASL_SSL` (a name and a password do).',
  ),
  KAFKA_SASL_MECHANISM: setting(
    z.enum(['SCRAM-SHA-512', 'SCRAM-SHA-256']),
    'SCRAM-SHA-512',
    'How the password is shown to the brokers: never itself.',
  ),
  KAFKA_SASL_USERNAME: setting(z.string(), '', 'Who this process is to Kafka; needed with SASL.', 'none'),
  KAFKA_SASL_PASSWORD_FILE: setting(
    z.string(),
    '',
    'File with its password, read again for each new connection; needed with SASL.',
    'none',
  ),
  KAFKA_TLS_CA_FILE: setting(
    z.string(),
    '',
    'The authorities that sign the brokers’ certificates, PEM, one or several; read again for each new connection.',
    'those of Node.js',
  ),
  KAFKA_TLS_CERT_FILE: setting(
    z.string(),
    '',
    'This process’s own certificate, PEM with its chain, for mTLS; read again for each new connection.',
    'none',
  ),
  KAFKA_TLS_KEY_FILE: setting(z.string(), '', 'Its private key, PEM, not encrypted; read again likewise.', 'none'),
  KAFKA_REPLICATION: setting(count(1, 7), '1', 'Replication factor of topics that are created; 3 in production.'),
};

type KafkaSettings = Values<typeof KAFKA_SETTINGS>;

/** Which brokers, and how to show them who asks. Secrets are named by their files; what reads them is the Kafka client. */
export interface KafkaConnectionSettings {
  readonly brokers: readonly string[];
  readonly security?: {
    readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
    readonly sasl?: {
      readonly mechanism: KafkaSettings['KAFKA_SASL_MECHANISM'];
      readonly username: string;
      readonly passwordFile: string;
    };
  };
}

/** @throws Failure BAD_SETTING naming what is missing, or what is set and would not be used */
export function kafkaConnection(settings: KafkaSettings): KafkaConnectionSettings {
  const { KAFKA_BROKERS: brokers, KAFKA_SECURITY_PROTOCOL: protocol } = settings;
  if (protocol === 'PLAINTEXT') {
    refuseUnused(settings, ['KAFKA_TLS_CA_FILE', 'KAFKA_TLS_CERT_FILE', 'KAFKA_TLS_KEY_FILE']);
    refuseUnused(settings, ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD_FILE']);
    return { brokers };
  }
  const sasl = protocol === 'SSL' ? undefined : saslOf(settings);
  const tls = protocol === 'SASL_PLAINTEXT' ? undefined : tlsOf(settings);
  if (sasl === undefined) refuseUnused(settings, ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD_FILE']);
  if (tls === undefined) {
    refuseUnused(settings, ['KAFKA_TLS_CA_FILE', 'KAFKA_TLS_CERT_FILE', 'KAFKA_TLS_KEY_FILE']);
  }
  return { brokers, security: { ...(sasl !== undefined && { sasl }), ...(tls !== undefined && { tls }) } };
}

function saslOf(settings: KafkaSettings) {
  const { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD_FILE: passwordFile } = settings;
  for (const name of ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD_FILE'] as const) {
    if (settings[name] === '') throw missing(name, `KAFKA_SECURITY_PROTOCOL=${settings.KAFKA_SECURITY_PROTOCOL}`);
  }
  return { mechanism: settings.KAFKA_SASL_MECHANISM, username, passwordFile };
}

function tlsOf({
  KAFKA_TLS_CA_FILE: caFile,
  KAFKA_TLS_CERT_FILE: certFile,
  KAFKA_TLS_KEY_FILE: keyFile,
}: KafkaSettings) {
  if (certFile !== '' && keyFile === '') throw missing('KAFKA_TLS_KEY_FILE', 'KAFKA_TLS_CERT_FILE');
  if (keyFile !== '' && certFile === '') throw missing('KAFKA_TLS_CERT_FILE', 'KAFKA_TLS_KEY_FILE');
  return {
    ...(caFile !== '' && { caFile }),
    ...(certFile !== '' && { certFile }),
    ...(keyFile !== '' && { keyFile }),
  };
}

/** Whoever sets them believes that the connection is secured by them. */
function refuseUnused(settings: KafkaSettings, names: readonly (keyof KafkaSettings)[]): void {
  for (const name of names) {
    if (settings[name] === '') continue;
    const text = `${name} is set, and KAFKA_SECURITY_PROTOCOL=${settings.KAFKA_SECURITY_PROTOCOL} does not use it.`;
    throw new Failure('BAD_SETTING', text, false);
  }
}

function missing(name: string, because: string): Failure {
  return new Failure('BAD_SETTING', `${name} is missing: ${because} needs it.`, false);
}
