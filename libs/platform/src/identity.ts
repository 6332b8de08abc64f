/**
 * Who asks. People and services show a bearer token of the configured issuer; systems on Kafka sign an assertion about
 * one thing (this search with this probe, this erasure), never a bearer token that would be good for others.
 */
import { readFile } from 'node:fs/promises';
import {
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

/** @param location an https URL, or the path of a JWKS file */
export async function openJwks(location: string): Promise<JWTVerifyGetKey> {
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

  /** @throws Refusal TOKEN_REQUIRED, TOKEN_INVALID */
  async verify(authorization: string | undefined): Promise<Actor> {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) throw new Refusal('TOKEN_REQUIRED', 'Send a bearer token in the Authorization header.');
    const payload = await verifySignature(token, this.keys, {
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

async function verifySignature(
  token: string,
  keys: JWTVerifyGetKey,
  options: { issuer?: string; audience?: string; requiredClaims: string[]; maxTokenAge?: number; currentDate?: Date },
): Promise<JWTPayload & { readonly kid: string }> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_SKEW_SECONDS,
      ...options,
    });
    return { ...payload, kid: protectedHeader.kid ?? '' };
  } catch (error) {
    if (isUnreachable(error)) {
      throw new Failure('IDENTITY_UNAVAILABLE', 'The issuer’s keys cannot be fetched.', true, { cause: error });
    }
    throw new Refusal(
      'TOKEN_INVALID',
      'The token is not valid here: wrong issuer, audience, signature or time.',
      undefined,
      {
        cause: error,
      },
    );
  }
}

/** jose tells a slow issuer apart; one that refuses the connection or answers with an error is fetch's or its own. */
function isUnreachable(error: unknown): boolean {
  return (
    error instanceof joseErrors.JWKSTimeout ||
    (error instanceof joseErrors.JOSEError && error.code === 'ERR_JOSE_GENERIC') ||
    (error instanceof TypeError && error.message === 'fetch failed')
  );
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
  constructor(private readonly keys: JWTVerifyGetKey) {}

  /**
   * @param judgedAtMs when the record reached the log: an assertion is judged then, not when it is read
   * @throws Refusal ASSERTION_INVALID
   */
  async verify(jws: string | undefined, judgedAtMs: number): Promise<VerifiedAssertion> {
    if (jws === undefined) throw new Refusal('ASSERTION_INVALID', 'The record carries no signed assertion.');
    let payload: JWTPayload & { readonly kid: string };
    try {
      payload = await verifySignature(jws, this.keys, {
        requiredClaims: ['sub', 'iat', 'iss'],
        currentDate: new Date(judgedAtMs),
      });
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Refusal('ASSERTION_INVALID', 'The assertion’s signature is not valid.', undefined, { cause: error });
    }
    if (payload.iss !== payload.kid) {
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
    if (!this.mayAssert(payload.kid, parsed.data.purpose)) {
      throw new Refusal(
        'ASSERTION_INVALID',
        `The key of ${payload.kid} is not for the purpose ${parsed.data.purpose}.`,
      );
    }
    return { system: payload.iss, assertion: parsed.data as Assertion };
  }

  /** A key that names its `purposes` is good for those alone: a phone system's is none for erasures. */
  private mayAssert(kid: string, purpose: Assertion['purpose']): boolean {
    const { jwks } = this.keys as JWTVerifyGetKey & { jwks?: () => JSONWebKeySet | undefined };
    const purposes = (jwks?.()?.keys.find((key) => key.kid === kid) as Record<string, unknown> | undefined)?.[
      'purposes'
    ];
    return purposes === undefined || (Array.isArray(purposes) && purposes.includes(purpose));
  }
}
