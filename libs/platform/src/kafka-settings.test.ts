import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { kafkaConnection } from './kafka-settings.js';
import { readSettings } from './settings.js';

const connection = (environment: Record<string, string>) => kafkaConnection(readSettings(environment));
const sasl = { KAFKA_SASL_USERNAME: 'custody-index', KAFKA_SASL_PASSWORD_FILE: '/run/password' };
const own = { KAFKA_TLS_CERT_FILE: '/run/tls.crt', KAFKA_TLS_KEY_FILE: '/run/tls.key' };

describe('the settings of Kafka', () => {
  it('are neither encrypted nor authenticated when nothing is said', () => {
    expect(connection({ KAFKA_BROKERS: 'a:1' })).toEqual({ brokers: ['a:1'] });
  });

  it('name the files of a password, of certificates, or of both', () => {
    expect(
      connection({ KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_TLS_CA_FILE: '/run/ca.pem', ...sasl }).security,
    ).toEqual({
      sasl: { mechanism: 'SCRAM-SHA-512', username: 'custody-index', passwordFile: '/run/password' },
      tls: { caFile: '/run/ca.pem' },
    });
    expect(connection({ KAFKA_SECURITY_PROTOCOL: 'SSL', ...own }).security).toEqual({
      tls: { certFile: '/run/tls.crt', keyFile: '/run/tls.key' },
    });
    expect(connection({ KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT', ...sasl }).security).toEqual({
      sasl: { mechanism: 'SCRAM-SHA-512', username: 'custody-index', passwordFile: '/run/password' },
    });
  });

  it.each([
    ['half of a login', { KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SASL_USERNAME: 'custody-index' }],
    ['a certificate without its key', { KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_TLS_CERT_FILE: '/run/tls.crt' }],
    ['a key without its certificate', { KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_TLS_KEY_FILE: '/run/tls.key' }],
    ['a login that would not be used', { KAFKA_SECURITY_PROTOCOL: 'SSL', ...sasl }],
    ['a certificate that would not be used', { KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT', ...sasl, ...own }],
    ['credentials on a connection that shows none', { ...sasl }],
    ['an authority of a connection that is not encrypted', { KAFKA_TLS_CA_FILE: '/run/ca.pem' }],
    ['another protocol', { KAFKA_SECURITY_PROTOCOL: 'TLS' }],
  ])('refuse %s', (_what, environment) => {
    expect(codeOf(() => readSettings(environment))).toBe('BAD_SETTING');
  });
});
