/**
 * The keys of a local installation, made once under DATA_DIR/keys: the issuer of bearer tokens, the systems that sign
 * assertions, the key of the image store, and the one that seals the audit. In production all of them come from outside.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createLocalJWKSet, exportJWK, generateKeyPair, importJWK, SignJWT, type JSONWebKeySet, type JWK } from 'jose';
import { makeSignerKey } from '#audit/signed-note.js';
import { Failure } from '#domain/errors.js';
import type { Role } from '#domain/identity.js';
import { TOKEN_LIFETIME_SECONDS_MAX } from '#platform/identity.js';
import type { Settings } from '#platform/settings.js';

const ALGORITHM = 'EdDSA';
/** Names the audit log in its checkpoints. */
const LOCAL_AUDIT_ORIGIN = 'localhost/custody-face-search/audit';
/** The systems of a local installation that sign assertions. */
const LOCAL_SYSTEMS = ['custody-query', 'custody-suite'];

function keyFile(settings: Settings, name: string): string {
  return join(settings.DATA_DIR, 'keys', name);
}

/** Makes what is missing and leaves what is there. @throws Failure JWKS_UNREADABLE */
export async function ensureLocalKeys(settings: Settings): Promise<void> {
  await mkdir(join(settings.DATA_DIR, 'keys'), { recursive: true, mode: 0o700 });
  if (!existsSync(settings.IMAGE_STORE_KEY_FILE)) {
    await mkdir(dirname(settings.IMAGE_STORE_KEY_FILE), { recursive: true });
    await writeSecret(settings.IMAGE_STORE_KEY_FILE, randomBytes(32).toString('base64'));
  }
  await ensureSealKey(settings);
  await ensureKeyPair(keyFile(settings, 'issuer.jwk.json'), 'local-issuer', keyFile(settings, 'issuer.jwks.json'));
  for (const system of LOCAL_SYSTEMS) {
    await ensureKeyPair(keyFile(settings, `${system}.jwk.json`), system, keyFile(settings, 'systems.jwks.json'));
  }
}

/** @throws Failure LOCAL_ISSUER_MISSING */
export async function signLocalToken(settings: Settings, roles: readonly Role[], subject: string): Promise<string> {
  const file = keyFile(settings, 'issuer.jwk.json');
  const jwk = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Failure('LOCAL_ISSUER_MISSING', `${file} is not there: start the system once with npm start.`, false, {
      cause,
    });
  });
  return new SignJWT({ roles })
    .setProtectedHeader({ alg: ALGORITHM, kid: 'local-issuer' })
    .setIssuer(settings.AUTH_ISSUER)
    .setAudience(settings.AUTH_AUDIENCE)
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime(`${TOKEN_LIFETIME_SECONDS_MAX}s`)
    .sign(await importJWK(JSON.parse(jwk) as JWK, ALGORITHM));
}

async function ensureSealKey(settings: Settings): Promise<void> {
  const { AUDIT_SEAL_KEY_FILE: signerFile, AUDIT_SEAL_VERIFIER_KEYS_FILE: verifiersFile } = settings;
  if (signerFile === 'off' || existsSync(signerFile)) return;
  const { signerKey, verifierKey } = makeSignerKey(LOCAL_AUDIT_ORIGIN);
  await mkdir(dirname(signerFile), { recursive: true });
  await mkdir(dirname(verifiersFile), { recursive: true });
  // Those who verify come first: a signer key whose verifier key nobody has would seal for nobody.
  await appendFile(verifiersFile, `${verifierKey}\n`);
  await writeSecret(signerFile, signerKey);
}

/** The private key, and its public half in the set, which others may have added keys and `purposes` to. */
async function ensureKeyPair(file: string, kid: string, setFile: string): Promise<void> {
  if (existsSync(file)) {
    const { d: _private, ...publicKey } = JSON.parse(await readFile(file, 'utf8')) as JWK;
    const set = await readKeySet(setFile);
    // One that is there may be another than the private key's: whoever replaced it knows why.
    if (!set.keys.some((key) => key.kid === kid)) await publish(setFile, set, publicKey);
    return;
  }
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const named = { kid, alg: ALGORITHM, use: 'sig' };
  // Those who verify come first, beside a key whose private half is lost.
  await publish(setFile, await readKeySet(setFile), { ...(await exportJWK(publicKey)), ...named });
  await writeSecret(file, JSON.stringify({ ...(await exportJWK(privateKey)), ...named }, null, 2));
}

/** @throws Failure JWKS_UNREADABLE */
async function readKeySet(file: string): Promise<JSONWebKeySet> {
  if (!existsSync(file)) return { keys: [] };
  try {
    const set = JSON.parse(await readFile(file, 'utf8')) as JSONWebKeySet;
    createLocalJWKSet(set);
    return set;
  } catch (cause) {
    throw new Failure('JWKS_UNREADABLE', `The public keys in ${file} cannot be read.`, false, { cause });
  }
}

/** As a whole: a service that reads it meanwhile sees the set before or the one after. */
async function publish(file: string, set: JSONWebKeySet, key: JWK): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify({ ...set, keys: [...set.keys, key] }, null, 2)}\n`, { flush: true });
  await rename(temporary, file);
}

async function writeSecret(file: string, text: string): Promise<void> {
  await writeFile(file, `${text}\n`, { mode: 0o600, flag: 'wx' });
}
