import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, exportJWK, generateKeyPair, type JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NoteSigner, openNote, parseVerifierKey } from '#audit/signed-note.js';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import {
  AssertionSigner,
  AssertionVerifier,
  openJwks,
  TOKEN_LIFETIME_SECONDS_MAX,
  TokenVerifier,
} from '#platform/identity.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { readSettings, type Settings } from '#platform/settings.js';
import { ensureLocalKeys, signLocalToken } from './local-keys.js';

let home: string;
let settings: Settings;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'local-keys-'));
  settings = readSettings({ DATA_DIR: home });
});
afterAll(() => rm(home, { recursive: true }));

const keysOf = async (): Promise<Record<string, string>> => {
  const names = (await readdir(join(home, 'keys'))).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(home, 'keys', name), 'utf8')] as const)),
  );
};

describe('the keys of a local installation', () => {
  it('are missed with LOCAL_ISSUER_MISSING before the first start', async () => {
    expect(await codeOfAsync(() => signLocalToken(settings, ['officer'], 'PC1'))).toBe('LOCAL_ISSUER_MISSING');
  });

  it('are made once and stay as they are', async () => {
    await ensureLocalKeys(settings);
    const first = await keysOf();
    await ensureLocalKeys(settings);
    expect(await keysOf()).toEqual(first);
  });

  it('stay beside those that somebody has added, with what was said of them', async () => {
    await ensureLocalKeys(settings);
    const before = JSON.parse(await readFile(settings.ASSERTION_JWKS, 'utf8')) as JSONWebKeySet;
    const [query, suite] = before.keys;
    const { publicKey } = await generateKeyPair('EdDSA');
    const third = { ...(await exportJWK(publicKey)), kid: 'records-system', purposes: ['erasure'] };
    const changed = { note: 'of the force', keys: [{ ...suite, purposes: ['retrospective-search'] }, third] };
    await writeFile(settings.ASSERTION_JWKS, JSON.stringify(changed));
    await ensureLocalKeys(settings);
    const setNow = async (): Promise<unknown> => JSON.parse(await readFile(settings.ASSERTION_JWKS, 'utf8'));
    expect(await setNow()).toEqual({ note: 'of the force', keys: [...changed.keys, query] });
    await ensureLocalKeys(settings);
    expect(await setNow()).toEqual({ note: 'of the force', keys: [...changed.keys, query] });
    await writeFile(settings.ASSERTION_JWKS, JSON.stringify(before));
  });

  it('are not written over a set that cannot be read', async () => {
    await ensureLocalKeys(settings);
    const before = await readFile(settings.AUTH_JWKS, 'utf8');
    for (const text of ['not JSON', '{"keys":1}']) {
      await writeFile(settings.AUTH_JWKS, text);
      expect(await codeOfAsync(() => ensureLocalKeys(settings))).toBe('JWKS_UNREADABLE');
      expect(await readFile(settings.AUTH_JWKS, 'utf8')).toBe(text);
    }
    await writeFile(settings.AUTH_JWKS, before);
  });

  it('that are made anew, because the private one is gone, are good at once', async () => {
    await ensureLocalKeys(settings);
    await rm(join(home, 'keys', 'issuer.jwk.json'));
    await ensureLocalKeys(settings);
    const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);
    const token = await signLocalToken(settings, ['officer'], 'PC1');
    expect((await tokens.verify(`Bearer ${token}`)).id).toBe('PC1');
  });

  it('are readable by their owner only, and no private part is in what is published', async () => {
    await ensureLocalKeys(settings);
    for (const name of [
      'issuer.jwk.json',
      'custody-query.jwk.json',
      'custody-suite.jwk.json',
      'image-store.key',
      'audit-seal.key',
    ]) {
      expect((await stat(join(home, 'keys', name))).mode & 0o077, name).toBe(0);
    }
    for (const location of [settings.AUTH_JWKS, settings.ASSERTION_JWKS]) {
      const { keys } = JSON.parse(await readFile(location, 'utf8')) as JSONWebKeySet;
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) expect(key).not.toHaveProperty('d');
    }
  });

  it('include the one that seals the audit, beside what its seals are verified with', async () => {
    await ensureLocalKeys(settings);
    const signer = NoteSigner.parse(await readFile(settings.AUDIT_SEAL_KEY_FILE, 'utf8'))!;
    const verifier = parseVerifierKey(await readFile(settings.AUDIT_SEAL_VERIFIER_KEYS_FILE, 'utf8'))!;
    expect(openNote(signer.sign('a text\n'), [verifier])?.text).toBe('a text\n');
  });

  it('are what the services verify tokens and assertions by, and seal images with', async () => {
    await ensureLocalKeys(settings);
    const tokens = new TokenVerifier(await openJwks(settings.AUTH_JWKS), settings.AUTH_ISSUER, settings.AUTH_AUDIENCE);
    const token = await signLocalToken(settings, ['officer', 'operator'], 'PC1');
    expect(await tokens.verify(`Bearer ${token}`)).toEqual({ id: 'PC1', roles: ['officer', 'operator'] });
    const { iat, exp } = decodeJwt(token);
    expect(exp! - iat!).toBeLessThanOrEqual(TOKEN_LIFETIME_SECONDS_MAX);

    const signer = await AssertionSigner.open(settings.ASSERTION_KEY_FILE);
    const assertions = new AssertionVerifier(await openJwks(settings.ASSERTION_JWKS));
    const jws = await signer.sign({
      purpose: 'erasure',
      subject: 'dpo',
      role: 'data-protection',
      imageId: 'i',
      authority: 'a',
      reason: 'r',
    });
    expect((await assertions.verify(jws, Date.now())).system).toBe('custody-query');
    await FolderImageStore.open(settings.IMAGE_STORE_DIR, settings.IMAGE_STORE_KEY_FILE);
  });
});
