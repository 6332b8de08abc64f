import { Failure } from '#domain/errors.js';
import type { Settings } from './settings.js';

type KafkaSettings = Pick<Settings, Extract<keyof Settings, `KAFKA_${string}`>>;

/** Which brokers, and how to show them who asks. Secrets are named by their files; what reads them is the Kafka client. */
export interface KafkaConnectionSettings {
  readonly brokers: readonly string[];
  readonly security?: {
    readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
    readonly sasl?: {
      readonly mechanism: Settings['KAFKA_SASL_MECHANISM'];
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
