import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createRemoteJWKSet,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  importJWK,
  SignJWT,
  type CryptoKey,
  type JWTHeaderParameters,
} from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOfAsync } from '#domain/codes-for-tests.js';
import {
  ASSERTION_AGE_SECONDS_MAX,
  AssertionSigner,
  AssertionVerifier,
  openJwks,
  TOKEN_LIFETIME_SECONDS_MAX,
  TokenVerifier,
  type Assertion,
} from './identity.js';

const ISSUER = 'https://login.example';
const AUDIENCE = 'custody-face-search';

let folder: string;
let tokens: TokenVerifier;
let assertions: AssertionVerifier;
let key: CryptoKey;
let publicPem: string;
let strangerKey: CryptoKey;
let suite: AssertionSigner;
let mobile: AssertionSigner;

async function makeKey(kid: string): Promise<{ privateKey: CryptoKey; publicKey: CryptoKey; publicJwk: object }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  await writeFile(join(folder, `${kid}.json`), JSON.stringify({ ...(await exportJWK(privateKey)), kid, alg: 'EdDSA' }));
  return { privateKey, publicKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'EdDSA' } };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'identity-'));
  const issuer = await makeKey('issuer');
  key = issuer.privateKey;
  publicPem = await exportSPKI(issuer.publicKey);
  strangerKey = (await makeKey('stranger')).privateKey;
  const systems = [await makeKey('custody-suite'), await makeKey('mobile-app')];
  await writeFile(join(folder, 'issuer.jwks'), JSON.stringify({ keys: [issuer.publicJwk] }));
  await writeFile(join(folder, 'systems.jwks'), JSON.stringify({ keys: systems.map(({ publicJwk }) => publicJwk) }));
  tokens = new TokenVerifier(await openJwks(join(folder, 'issuer.jwks')), ISSUER, AUDIENCE);
  assertions = new AssertionVerifier(await openJwks(join(folder, 'systems.jwks')));
  suite = await AssertionSigner.open(join(folder, 'custody-suite.json'));
  mobile = await AssertionSigner.open(join(folder, 'mobile-app.json'));
});
afterAll(() => rm(folder, { recursive: true }));

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** JWTPayload, where a claim may be left out by naming it undefined. */
type Claims = { readonly [name: string]: unknown };

function claims(change: Claims = {}): Claims {
  const iat = nowSeconds();
  return { iss: ISSUER, aud: AUDIENCE, sub: 'PC1234', iat, exp: iat + 600, roles: ['officer'], ...change };
}

function sign(payload: Claims, by: CryptoKey = key): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', kid: 'issuer' }).sign(by);
}

const base64url = (value: object | Buffer): string =>
  (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString('base64url');

describe('a bearer token', () => {
  it('says who asks, in which roles', async () => {
    const token = await sign(claims({ roles: ['officer', 'operator'] }));
    expect(await tokens.verify(`Bearer ${token}`)).toEqual({ id: 'PC1234', roles: ['officer', 'operator'] });
    expect(await tokens.verify(`bearer  ${token}`)).toMatchObject({ id: 'PC1234' });
  });

  it.each([undefined, '', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz'])(
    'is asked for with TOKEN_REQUIRED: %j',
    async (header) => {
      expect(await codeOfAsync(() => tokens.verify(header))).toBe('TOKEN_REQUIRED');
    },
  );

  it.each<[string, () => Claims]>([
    ['of another issuer', () => claims({ iss: 'https://other.example' })],
    ['for another audience', () => claims({ aud: 'payroll' })],
    ['that has expired', () => claims({ iat: nowSeconds() - 700, exp: nowSeconds() - 60 })],
    ['that is not valid yet', () => claims({ nbf: nowSeconds() + 120 })],
    ['that was issued in the future', () => claims({ iat: nowSeconds() + 3600, exp: nowSeconds() + 4000 })],
    ['that lives too long', () => claims({ exp: nowSeconds() + TOKEN_LIFETIME_SECONDS_MAX + 10 })],
    ['without an end', () => claims({ exp: undefined })],
    ['without a beginning', () => claims({ iat: undefined })],
    ['of nobody', () => claims({ sub: undefined })],
    ['of an empty name', () => claims({ sub: '' })],
    ['of a number', () => claims({ sub: 1234 })],
    ['of somebody whose id fills a page', () => claims({ sub: 'x'.repeat(256) })],
    ['without roles', () => claims({ roles: undefined })],
    ['with no role', () => claims({ roles: [] })],
    ['with a role that does not exist', () => claims({ roles: ['officer', 'admin'] })],
    ['with roles as a text', () => claims({ roles: 'officer' })],
  ])('%s is refused with TOKEN_INVALID', async (_, payload) => {
    const token = await sign(payload());
    expect(await codeOfAsync(() => tokens.verify(`Bearer ${token}`))).toBe('TOKEN_INVALID');
  });

  it('signed with a key that is not the issuer’s is refused', async () => {
    const token = await sign(claims(), strangerKey);
    expect(await codeOfAsync(() => tokens.verify(`Bearer ${token}`))).toBe('TOKEN_INVALID');
  });

  it('that says alg none, or whose claims were changed, is refused', async () => {
    const unsigned = `${base64url({ alg: 'none' })}.${base64url(claims())}.`;
    expect(await codeOfAsync(() => tokens.verify(`Bearer ${unsigned}`))).toBe('TOKEN_INVALID');
    const [header, , signature] = (await sign(claims())).split('.');
    const changed = `${header}.${base64url(claims({ sub: 'Chief' }))}.${signature}`;
    expect(await codeOfAsync(() => tokens.verify(`Bearer ${changed}`))).toBe('TOKEN_INVALID');
    expect(await codeOfAsync(() => tokens.verify('Bearer not-a-token'))).toBe('TOKEN_INVALID');
  });

  it('sealed with HS256 under the public key, which everybody has, is refused', async () => {
    const signed = `${base64url({ alg: 'HS256', kid: 'issuer' })}.${base64url(claims())}`;
    const mac = createHmac('sha256', publicPem).update(signed).digest();
    expect(await codeOfAsync(() => tokens.verify(`Bearer ${signed}.${base64url(mac)}`))).toBe('TOKEN_INVALID');
  });

  it('is not called invalid when it is the issuer that cannot be reached: that passes', async () => {
    const away = new TokenVerifier(await openJwks('https://127.0.0.1:1/jwks'), ISSUER, AUDIENCE);
    const token = await sign(claims());
    expect(await codeOfAsync(() => away.verify(`Bearer ${token}`))).toBe('IDENTITY_UNAVAILABLE');
  });

  it('signed with either of two keys of one name is good, and with a third is not', async () => {
    const other = await makeKey('issuer-next');
    const { keys } = JSON.parse(await readFile(join(folder, 'issuer.jwks'), 'utf8')) as { keys: object[] };
    const file = join(folder, 'issuer-both.jwks');
    await writeFile(file, JSON.stringify({ keys: [...keys, { ...other.publicJwk, kid: 'issuer' }] }));
    const both = new TokenVerifier(await openJwks(file), ISSUER, AUDIENCE);
    const codeFor = async (by: CryptoKey, payload = claims()): Promise<string | undefined> => {
      const token = await sign(payload, by);
      return codeOfAsync(() => both.verify(`Bearer ${token}`));
    };
    expect(await codeFor(key)).toBeUndefined();
    expect(await codeFor(other.privateKey)).toBeUndefined();
    expect(await codeFor(other.privateKey, claims({ aud: 'payroll' }))).toBe('TOKEN_INVALID');
    expect(await codeFor(strangerKey)).toBe('TOKEN_INVALID');
  });
});

describe('the public keys', () => {
  it('must be a readable file or an https address', async () => {
    await writeFile(join(folder, 'not.jwks'), 'hello');
    for (const location of [join(folder, 'none.jwks'), join(folder, 'not.jwks'), 'http://login.example/jwks']) {
      expect(await codeOfAsync(() => openJwks(location)), location).toBe('JWKS_UNREADABLE');
    }
    expect(await codeOfAsync(() => AssertionSigner.open(join(folder, 'none.json')))).toBe('SIGNING_KEY_UNREADABLE');
  });

  it('are waited for, and nobody is refused, while their address answers with something else', async () => {
    let answer = JSON.stringify({ status: 'maintenance' });
    const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`);
    const erasure = await suite.sign({
      purpose: 'erasure',
      subject: 'dpo-1',
      role: 'data-protection',
      imageId: 'img-1',
      authority: 'DPA 2018 s.47',
      reason: 'acquitted',
    });
    const bearer = await sign(claims());
    const remoteAssertions = new AssertionVerifier(createRemoteJWKSet(address));
    const remoteTokens = new TokenVerifier(createRemoteJWKSet(address), ISSUER, AUDIENCE);
    const codes = async (): Promise<(string | undefined)[]> => [
      await codeOfAsync(() => remoteAssertions.verify(erasure, Date.now())),
      await codeOfAsync(() => remoteTokens.verify(`Bearer ${bearer}`)),
    ];
    try {
      for (const page of [answer, '[]', '<p>Back soon.</p>']) {
        answer = page;
        expect(await codes(), page).toEqual(['IDENTITY_UNAVAILABLE', 'IDENTITY_UNAVAILABLE']);
      }
      const texts = ['systems.jwks', 'issuer.jwks'].map((name) => readFile(join(folder, name), 'utf8'));
      const sets = (await Promise.all(texts)).map((text) => JSON.parse(text) as { keys: object[] });
      answer = JSON.stringify({ keys: sets.flatMap(({ keys }) => keys) });
      expect(await codes()).toEqual([undefined, undefined]);
    } finally {
      server.close();
    }
  });
});

describe('an assertion', () => {
  const erasure: Assertion = {
    purpose: 'erasure',
    subject: 'dpo-1',
    role: 'data-protection',
    imageId: 'img-1',
    authority: 'DPA 2018 s.47',
    reason: 'acquitted',
  };
  const search: Assertion = {
    purpose: 'retrospective-search',
    subject: 'op-1',
    role: 'operator',
    searchId: 's-1',
    probeSha256: 'ab',
  };

  it.each([erasure, search])('says which system swears to what, on whose behalf', async (assertion) => {
    expect(await assertions.verify(await suite.sign(assertion), Date.now())).toEqual({
      system: 'custody-suite',
      assertion,
    });
  });

  it('is judged at the time that is given, not at the time of reading', async () => {
    const jws = await suite.sign(erasure);
    const madeMs = nowSeconds() * 1000;
    const lastMs = madeMs + ASSERTION_AGE_SECONDS_MAX * 1000;
    expect(await codeOfAsync(() => assertions.verify(jws, lastMs - 2_000))).toBeUndefined();
    expect(await codeOfAsync(() => assertions.verify(jws, lastMs + 2_000))).toBe('ASSERTION_INVALID');
    expect(await codeOfAsync(() => assertions.verify(jws, madeMs - 60_000))).toBe('ASSERTION_INVALID');
  });

  it('made an hour before, and in the log five minutes after that, is good however late it is read', async () => {
    const iat = nowSeconds() - 3600;
    const jws = await signAs('custody-suite', { ...erasureClaims(), iat });
    expect(await codeOfAsync(() => assertions.verify(jws, (iat + 240) * 1000))).toBeUndefined();
    expect(await codeOfAsync(() => assertions.verify(jws, Date.now()))).toBe('ASSERTION_INVALID');
  });

  it('in the name of another system than signed it is refused', async () => {
    const jws = await signAs('mobile-app', { ...erasureClaims(), iss: 'custody-suite' });
    expect(await codeOfAsync(() => assertions.verify(jws, Date.now()))).toBe('ASSERTION_INVALID');
    expect((await assertions.verify(await mobile.sign(erasure), Date.now())).system).toBe('mobile-app');
  });

  it('for a purpose that the system’s key is not for is refused', async () => {
    const only = async (purposes: unknown): Promise<AssertionVerifier> => {
      const { keys } = JSON.parse(await readFile(join(folder, 'systems.jwks'), 'utf8')) as { keys: object[] };
      const file = join(folder, 'scoped.jwks');
      await writeFile(file, JSON.stringify({ keys: keys.map((jwk) => ({ ...jwk, purposes })) }));
      return new AssertionVerifier(await openJwks(file));
    };
    const codeFor = async (purposes: unknown, assertion: Assertion): Promise<string | undefined> => {
      const verifier = await only(purposes);
      const jws = await suite.sign(assertion);
      return codeOfAsync(() => verifier.verify(jws, Date.now()));
    };
    expect(await codeFor(['retrospective-search'], search)).toBeUndefined();
    expect(await codeFor(['retrospective-search'], erasure)).toBe('ASSERTION_INVALID');
    expect(await codeFor(['erasure'], search)).toBe('ASSERTION_INVALID');
    expect(await codeFor([], erasure)).toBe('ASSERTION_INVALID');
    expect(await codeFor('retrospective-search, erasure', erasure)).toBe('ASSERTION_INVALID');
  });

  it('signed with the old or the new key of a system is good while both are there, each for its own purposes', async () => {
    const next = await makeKey('custody-suite-next');
    const { keys } = JSON.parse(await readFile(join(folder, 'systems.jwks'), 'utf8')) as { keys: object[] };
    const replacing = { ...next.publicJwk, kid: 'custody-suite', purposes: ['erasure'] };
    const file = join(folder, 'replaced.jwks');
    for (const both of [
      [...keys, replacing],
      [replacing, ...keys],
    ]) {
      await writeFile(file, JSON.stringify({ keys: both }));
      const verifier = new AssertionVerifier(await openJwks(file));
      const codeFor = async (system: string, payload: Claims): Promise<string | undefined> => {
        const jws = await signAs(system, payload, { alg: 'EdDSA', kid: 'custody-suite' });
        return codeOfAsync(() => verifier.verify(jws, Date.now()));
      };
      const { subject, ...asked } = search;
      const searchClaims = { ...asked, sub: subject, iss: 'custody-suite', iat: nowSeconds() };
      expect(await codeFor('custody-suite', erasureClaims())).toBeUndefined();
      expect(await codeFor('custody-suite', searchClaims)).toBeUndefined();
      expect(await codeFor('custody-suite-next', erasureClaims())).toBeUndefined();
      expect(await codeFor('custody-suite-next', searchClaims)).toBe('ASSERTION_INVALID');
      expect(await codeFor('stranger', erasureClaims())).toBe('ASSERTION_INVALID');
    }
  });

  it('that does not name its key is refused, also where there is only one', async () => {
    const { keys } = JSON.parse(await readFile(join(folder, 'systems.jwks'), 'utf8')) as { keys: { kid: string }[] };
    const only = keys.filter(({ kid }) => kid === 'custody-suite');
    const file = join(folder, 'only.jwks');
    for (const purposes of [undefined, ['retrospective-search']]) {
      await writeFile(file, JSON.stringify({ keys: only.map((jwk) => ({ ...jwk, purposes })) }));
      const verifier = new AssertionVerifier(await openJwks(file));
      for (const iss of ['', 'custody-suite']) {
        const jws = await signAs('custody-suite', { ...erasureClaims(), iss }, { alg: 'EdDSA' });
        expect(await codeOfAsync(() => verifier.verify(jws, Date.now()))).toBe('ASSERTION_INVALID');
      }
    }
    await writeFile(file, JSON.stringify({ keys: only.map((jwk) => ({ ...jwk, kid: '' })) }));
    const nameless = new AssertionVerifier(await openJwks(file));
    const jws = await signAs('custody-suite', { ...erasureClaims(), iss: '' }, { alg: 'EdDSA', kid: '' });
    expect(await codeOfAsync(() => nameless.verify(jws, Date.now()))).toBe('ASSERTION_INVALID');
  });

  it('of a system that is not known is refused', async () => {
    const stranger = await AssertionSigner.open(join(folder, 'stranger.json'));
    expect(await codeOfAsync(async () => assertions.verify(await stranger.sign(erasure), Date.now()))).toBe(
      'ASSERTION_INVALID',
    );
  });

  it.each<[string, () => Claims]>([
    ['for an unknown purpose', () => ({ ...erasureClaims(), purpose: 'live-search' })],
    ['without its image', () => ({ ...erasureClaims(), imageId: undefined })],
    ['without an authority', () => ({ ...erasureClaims(), authority: '' })],
    ['of an unknown role', () => ({ ...erasureClaims(), role: 'admin' })],
    ['on nobody’s behalf', () => ({ ...erasureClaims(), sub: undefined })],
    ['with more than an audit entry can hold', () => ({ ...erasureClaims(), reason: 'x'.repeat(2001) })],
    ['with an authority that is a document', () => ({ ...erasureClaims(), authority: 'x'.repeat(201) })],
    ['on behalf of a page of text', () => ({ ...erasureClaims(), sub: 'x'.repeat(256) })],
    ['without a time', () => ({ ...erasureClaims(), iat: undefined })],
  ])('%s is refused', async (_, payload) => {
    const jws = await signAs('custody-suite', payload());
    expect(await codeOfAsync(() => assertions.verify(jws, Date.now()))).toBe('ASSERTION_INVALID');
  });

  it('is demanded, and a bearer token does not pass for one', async () => {
    expect(await codeOfAsync(() => assertions.verify(undefined, Date.now()))).toBe('ASSERTION_INVALID');
    expect(await codeOfAsync(() => assertions.verify('', Date.now()))).toBe('ASSERTION_INVALID');
    const token = await sign(claims());
    expect(await codeOfAsync(() => assertions.verify(token, Date.now()))).toBe('ASSERTION_INVALID');
  });

  function erasureClaims(): Claims {
    const { subject, ...rest } = erasure;
    return { ...rest, sub: subject, iss: 'custody-suite', iat: nowSeconds() };
  }

  async function signAs(
    kid: string,
    payload: Claims,
    header: JWTHeaderParameters = { alg: 'EdDSA', kid },
  ): Promise<string> {
    const jwk = JSON.parse(await readFile(join(folder, `${kid}.json`), 'utf8')) as Parameters<typeof importJWK>[0];
    return new SignJWT(payload).setProtectedHeader(header).sign(await importJWK(jwk));
  }
});
