import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import type { Failure } from '#domain/errors.js';
import { readSettings, SETTINGS, indexReplicaId } from './settings.js';

describe('settings', () => {
  it('have a default each, so that an empty environment is enough', () => {
    const settings = readSettings({});
    expect(Object.keys(settings).sort()).toEqual(Object.keys(SETTINGS).sort());
    expect(settings).toMatchObject({
      DATA_DIR: resolve('./data'),
      KAFKA_BROKERS: ['127.0.0.1:9092'],
      HOST: '127.0.0.1',
      QUERY_PORT: 8080,
      INGEST_PORT: 8081,
      INDEX_PORT: 8082,
      SHARDS: 1,
      SHARD: 0,
      OPERATOR_SEARCH_MODE: 'auto',
    });
    expect(settings.INFERENCE_CONCURRENCY).toBeGreaterThan(0);
    expect(settings.REPLICA_ID).toMatch(/^[\w.-]{1,64}$/);
  });

  it('name an index process the same after a restart, and another folder’s otherwise', () => {
    const name = (environment: NodeJS.ProcessEnv): string => indexReplicaId(readSettings(environment), environment);
    expect(name({ DATA_DIR: '/a' })).toBe(name({ DATA_DIR: '/a' }));
    expect(name({ DATA_DIR: '/a' })).toMatch(/^[\w.-]{1,64}$/);
    expect(name({ DATA_DIR: '/a' })).not.toContain(String(process.pid));
    expect(name({ DATA_DIR: '/b' })).not.toBe(name({ DATA_DIR: '/a' }));
    expect(name({ DATA_DIR: '/a', REPLICA_ID: 'r-1' })).toBe('r-1');
  });

  it('that follow from another follow the given one', () => {
    const settings = readSettings({ DATA_DIR: '/srv/cfs', SHARD: '2', SHARDS: '4' });
    expect(settings.SNAPSHOT_DIR).toBe(join('/srv/cfs', 'snapshots', 'shard-2-of-4'));
    expect(settings.IMAGE_STORE_KEY_FILE).toBe(join('/srv/cfs', 'keys', 'image-store.key'));
    expect(readSettings({ DATA_DIR: '/srv/cfs', SNAPSHOT_DIR: '/fast' }).SNAPSHOT_DIR).toBe('/fast');
  });

  it('count as absent when empty, as compose files and shells say "none"', () => {
    expect(readSettings({ QUERY_PORT: '', KAFKA_BROKERS: '' })).toMatchObject({
      QUERY_PORT: 8080,
      KAFKA_BROKERS: ['127.0.0.1:9092'],
    });
  });

  it('take several brokers', () => {
    expect(readSettings({ KAFKA_BROKERS: ' a:1, b:2 ,' }).KAFKA_BROKERS).toEqual(['a:1', 'b:2']);
  });

  it.each([
    ['QUERY_PORT', 'http'],
    ['QUERY_PORT', '65536'],
    ['QUERY_PORT', '80.5'],
    ['QUERY_PORT', ' '],
    ['KAFKA_BROKERS', ' , '],
    ['KAFKA_REPLICATION', '0'],
    ['LOG_LEVEL', 'loud'],
    ['TOPIC_PROFILE', 'test'],
    ['SHARDS', '25'],
    ['SHARDS', '5'],
    ['SHARD', '-1'],
    ['REPLICA_ID', 'a b'],
    ['REPLICA_ID', 'x'.repeat(65)],
    ['OPERATOR_SEARCH_MODE', 'fast'],
    ['OPERATOR_SEARCH_DEADLINE_MS', '0'],
  ])('are refused with BAD_SETTING naming the variable and its value: %s=%j', (name, value) => {
    expect(codeOf(() => readSettings({ [name]: value }))).toBe('BAD_SETTING');
    try {
      readSettings({ [name]: value });
    } catch (error) {
      expect((error as Failure).publicText).toContain(`${name}=${value}`);
      expect((error as Failure).retryable).toBe(false);
    }
  });

  describe('with the local issuer, whose private key lies on this machine', () => {
    it.each([
      ['0.0.0.0', {}],
      ['::', {}],
      ['10.0.0.7', {}],
      ['127.example.org', {}],
      ['pod-1.custody', {}],
      ['0.0.0.0', { DATA_DIR: '/srv/cfs', AUTH_JWKS: '/srv/./cfs/keys/issuer.jwks.json' }],
      ['0.0.0.0', { AUTH_JWKS: '/copied/issuer.jwks.json' }],
      ['0.0.0.0', { AUTH_ISSUER: 'https://idp.example.org' }],
    ])('are refused with LOCAL_ISSUER_NOT_LOOPBACK where others would be served: HOST=%s %j', (HOST, more) => {
      expect(codeOf(() => readSettings({ HOST, ...more }))).toBe('LOCAL_ISSUER_NOT_LOOPBACK');
    });

    it.each(['127.0.0.1', '127.8.8.8', '::1', 'localhost', ''])('are taken for this machine: HOST=%j', (HOST) => {
      expect(readSettings({ HOST }).HOST).toBe(HOST || '127.0.0.1');
    });
  });

  it('serve others with the keys of another issuer', () => {
    const AUTH_ISSUER = 'https://idp.example.org';
    for (const AUTH_JWKS of ['https://idp.example.org/jwks', '/etc/custody/issuer.jwks.json']) {
      expect(readSettings({ HOST: '0.0.0.0', AUTH_JWKS, AUTH_ISSUER }).AUTH_JWKS).toBe(AUTH_JWKS);
    }
  });

  it('are those of production where others are served, unless somebody says otherwise', () => {
    const others = {
      HOST: '0.0.0.0',
      AUTH_JWKS: 'https://idp.example.org/jwks',
      AUTH_ISSUER: 'https://idp.example.org',
    };
    expect(readSettings({}).DEPLOYMENT).toBe('local');
    expect(readSettings(others).DEPLOYMENT).toBe('production');
    expect(readSettings({ ...others, DEPLOYMENT: 'local' }).DEPLOYMENT).toBe('local');
  });
});
