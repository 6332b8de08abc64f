/**
 * Who asks. People and services show a bearer token of the configured issuer; systems on Kafka sign an assertion about
 * one thing (this search with this probe, this erasure), never a bearer token that would be good for others.
 */
import { readFile } from 'node:fs/promises';
import {
  compactVerify,
  createLocalJWKSet,
  createRemoteJWKSet,
  importJWK,
  jwtVerify,
  SignJWT,
  errors as joseErrors,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { z } from 'zod';
import { Failure, Refusal, describeError } from '#domain/errors.js';
import { ROLES, type Actor, type Role } from '#domain/identity.js';

/** Signatures by a public key only: a token must not be forgeable with what verifies it. */
const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'PS256', 'RS256'];
/** A token that is stolen is good for a quarter of an hour. */
export const TOKEN_LIFETIME_SECONDS_MAX = 15 * 60;
/** An assertion is used at once; the rest is queueing. Judged at the record's LogAppendTime. */
export const ASSERTION_AGE_SECONDS_MAX = 5 * 60;
const CLOCK_SKEW_SECONDS = 5;

/** Finds the key that a header means; `jwks` is the set as it was last read, undefined before the first time. */
export type PublicKeys = JWTVerifyGetKey & { readonly jwks: () => JSONWebKeySet | undefined };

/** @param location an https URL, or the path of a JWKS file */
export async function openJwks(location: string): Promise<PublicKeys> {
  if (/^https:\/\//.test(location)) return createRemoteJWKSet(new URL(location));
  try {
    return createLocalJWKSet(JSON.parse(await readFile(location, 'utf8')) as JSONWebKeySet);
  } catch (error) {
    throw new Failure('JWKS_UNREADABLE', `The public keys in ${location} cannot be read.`, false, { cause: error });
  }
}

const rolesClaim = z.array(z.enum(ROLES)).min(1);

export class TokenVerifier {
  constructor(
    private readonly keys: JWTVerifyGetKey,
    private readonly issuer: string,
    private readonly audience: string,
  ) {}

  /** @throws Refusal TOKEN_REQUIRED, TOKEN_INVALID; Failure IDENTITY_UNAVAILABLE */
  async verify(authorization: string | undefined): Promise<Actor> {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) throw new Refusal('TOKEN_REQUIRED', 'Send a bearer token in the Authorization header.');
    const { payload } = await verifySignature(token, this.keys, {
      issuer: this.issuer,
      audience: this.audience,
      requiredClaims: ['sub', 'exp', 'iat'],
      // By its iat too: otherwise a token that begins tomorrow would be good until then, and a quarter of an hour more.
      maxTokenAge: TOKEN_LIFETIME_SECONDS_MAX,
    });
    if (payload.exp! - payload.iat! > TOKEN_LIFETIME_SECONDS_MAX) {
      throw new Refusal('TOKEN_INVALID', 'The token is good for longer than 15 minutes.');
    }
    const person = personSchema.safeParse(payload.sub);
    if (!person.success) throw new Refusal('TOKEN_INVALID', 'The token’s sub is not the id of anybody.');
    const roles = rolesClaim.safeParse(payload['roles']);
    if (!roles.success) throw new Refusal('TOKEN_INVALID', 'The token names no known role.');
    return { id: person.data, roles: roles.data };
  }
}

interface Verified {
  readonly payload: JWTPayload;
  readonly kid: string | undefined;
}

async function verifySignature(token: string, keys: JWTVerifyGetKey, options: JWTVerifyOptions): Promise<Verified> {
  try {
    const { payload, protectedHeader } = await verifyWithAny(token, keys, {
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_SKEW_SECONDS,
      ...options,
    });
    return { payload, kid: protectedHeader.kid };
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    const text = 'The token is not valid here: wrong issuer, audience, signature or time.';
    throw new Refusal('TOKEN_INVALID', text, undefined, { cause });
  }
}

/** Several keys fit a header while one replaces another: a system's new key has the name of the old one. */
async function verifyWithAny(
  token: string,
  keys: JWTVerifyGetKey,
  options: JWTVerifyOptions,
): ReturnType<typeof jwtVerify> {
  try {
    return await jwtVerify(token, lookedUpIn(keys), options);
  } catch (error) {
    if (!(error instanceof joseErrors.JWKSMultipleMatchingKeys)) throw error;
    let failed: unknown = keysUnavailable(error);
    for await (const key of error) {
      try {
        return await jwtVerify(token, key, options);
      } catch (cause) {
        failed = cause;
      }
    }
    throw failed;
  }
}

/**
 * That the set has no such key is the sender's fault. Whatever else keeps one from being found (an issuer that is away, a
 * maintenance page where the set should be, a key that is none) is not, and passes.
 */
function lookedUpIn(keys: JWTVerifyGetKey): JWTVerifyGetKey {
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (error instanceof joseErrors.JWKSNoMatchingKey || error instanceof joseErrors.JWKSMultipleMatchingKeys) {
        throw error;
      }
      throw keysUnavailable(error);
    }
  };
}

function keysUnavailable(cause: unknown): Failure {
  return new Failure('IDENTITY_UNAVAILABLE', 'The issuer’s keys cannot be fetched, or not be used.', true, { cause });
}

/** What a system swears to. `subject` is the person on whose behalf it acts. */
export type Assertion =
  | {
      readonly purpose: 'retrospective-search';
      readonly subject: string;
      readonly role: Role;
      readonly searchId: string;
      readonly probeSha256: string;
    }
  | {
      readonly purpose: 'erasure';
      readonly subject: string;
      readonly role: Role;
      readonly imageId: string;
      readonly authority: string;
      readonly reason: string;
      /** The erasure on `custody.directions` that decided it, when one did. */
      readonly erasureId?: string;
    };

/** A person's id as issuers and systems give it. Longer, it would fill the audit entry that names it. */
const personSchema = z.string().min(1).max(255);
const idSchema = z.string().min(1).max(255);

/** Bounded, because an entry that the audit log cannot hold would be waited for for ever, and the partition with it. */
const assertionSchema = z.discriminatedUnion('purpose', [
  z.object({
    purpose: z.literal('retrospective-search'),
    subject: personSchema,
    role: z.enum(ROLES),
    searchId: idSchema,
    probeSha256: idSchema,
  }),
  z.object({
    purpose: z.literal('erasure'),
    subject: personSchema,
    role: z.enum(ROLES),
    imageId: idSchema,
    authority: z.string().min(1).max(200),
    reason: z.string().min(1).max(2000),
    erasureId: idSchema.optional(),
  }),
]);

/** Signs assertions in the name of one system; the key's `kid` is the system's name. */
export class AssertionSigner {
  private constructor(
    private readonly key: Parameters<SignJWT['sign']>[0],
    private readonly algorithm: string,
    readonly system: string,
  ) {}

  /** @param keyFile a private JWK with `kid` and `alg` */
  static async open(keyFile: string): Promise<AssertionSigner> {
    let jwk: JWK;
    try {
      jwk = JSON.parse(await readFile(keyFile, 'utf8')) as JWK;
      return new AssertionSigner(await importJWK(jwk), jwk.alg ?? 'EdDSA', jwk.kid!);
    } catch (error) {
      throw new Failure('SIGNING_KEY_UNREADABLE', `The private key in ${keyFile} cannot be read.`, false, {
        cause: error,
      });
    }
  }

  sign(assertion: Assertion): Promise<string> {
    const { subject, ...claims } = assertion;
    return new SignJWT(claims)
      .setProtectedHeader({ alg: this.algorithm, kid: this.system })
      .setIssuer(this.system)
      .setSubject(subject)
      .setIssuedAt()
      .sign(this.key);
  }
}

export interface VerifiedAssertion {
  readonly system: string;
  readonly assertion: Assertion;
}

export class AssertionVerifier {
  constructor(private readonly keys: PublicKeys) {}

  /**
   * @param judgedAtMs when the record reached the log: an assertion is judged then, not when it is read
   * @throws Refusal ASSERTION_INVALID; Failure IDENTITY_UNAVAILABLE
   */
  async verify(jws: string | undefined, judgedAtMs: number): Promise<VerifiedAssertion> {
    if (jws === undefined) throw new Refusal('ASSERTION_INVALID', 'The record carries no signed assertion.');
    const { payload, kid } = await this.verifySignature(jws, judgedAtMs);
    // Without a name the only key there is would fit, and what that key is for be found under no name.
    if (!kid) throw new Refusal('ASSERTION_INVALID', 'The assertion’s header does not name its key (kid).');
    if (payload.iss !== kid) {
      throw new Refusal('ASSERTION_INVALID', 'The assertion is signed with another system’s key than it names.');
    }
    const ageSeconds = judgedAtMs / 1000 - payload.iat!;
    if (ageSeconds > ASSERTION_AGE_SECONDS_MAX || ageSeconds < -CLOCK_SKEW_SECONDS) {
      throw new Refusal('ASSERTION_INVALID', 'The assertion was not made within the last five minutes.');
    }
    const parsed = assertionSchema.safeParse({ ...payload, subject: payload.sub });
    if (!parsed.success) {
      throw new Refusal('ASSERTION_INVALID', `The assertion is incomplete: ${describeError(parsed.error)}`);
    }
    if (!(await this.mayAssert(jws, kid, parsed.data.purpose))) {
      throw new Refusal('ASSERTION_INVALID', `The key of ${kid} is not for the purpose ${parsed.data.purpose}.`);
    }
    return { system: kid, assertion: parsed.data as Assertion };
  }

  private async verifySignature(jws: string, judgedAtMs: number): Promise<Verified> {
    try {
      return await verifySignature(jws, this.keys, {
        requiredClaims: ['sub', 'iat', 'iss'],
        currentDate: new Date(judgedAtMs),
      });
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Refusal('ASSERTION_INVALID', 'The assertion’s signature is not valid.', undefined, { cause });
    }
  }

  /**
   * A key that names its `purposes` is good for those alone: a phone system's is none for erasures. Of several keys of
   * one name it is the one that signed; jose does not say from which member of the set a key was made, so it is sought.
   */
  private async mayAssert(jws: string, kid: string, purpose: Assertion['purpose']): Promise<boolean> {
    const named = (this.keys.jwks()?.keys ?? []).filter((key) => key.kid === kid);
    for (const key of named) {
      const { purposes } = key as Record<string, unknown>;
      const isGood = purposes === undefined || (Array.isArray(purposes) && purposes.includes(purpose));
      if (isGood && (await isSignedWith(key, jws))) return true;
    }
    return false;
  }
}

async function isSignedWith(key: JWK, jws: string): Promise<boolean> {
  try {
    await compactVerify(jws, createLocalJWKSet({ keys: [key] }), { algorithms: ALGORITHMS });
    return true;
  } catch {
    return false;
  }
}
