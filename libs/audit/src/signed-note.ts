/**
 * Signed notes: a text with Ed25519 signatures under it, as https://c2sp.org/signed-note says and Go's
 * `golang.org/x/mod/sumdb/note` reads.
 *
 * A key has a name, and an id: the first 4 bytes of SHA-256(name || "\n" || 0x01 || public key). A verifier key is
 * `<name>+<id in hexadecimal>+<base64 of 0x01 and the 32 bytes of the public key>`; a signer key is the same with
 * `PRIVATE+KEY+` before it and the 32 bytes of the seed in it.
 */
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify, type KeyObject } from 'node:crypto';

const ED25519 = 1;
const KEY_SIZE_BYTES = 32;
const KEY_ID_SIZE_BYTES = 4;
const SIGNATURE_SIZE_BYTES = 64;
/** What stands before the 32 bytes in the DER of an Ed25519 key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const SIGNER_KEY_START = 'PRIVATE+KEY+';
const KEY = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/;
const SIGNATURE_LINE = /^— ([^\s+]+) ([A-Za-z0-9+/]+=*)$/;
const TEXT_END = '\n\n';

/** A public key with its name. */
export interface VerifierKey {
  readonly name: string;
  /** 8 hexadecimal digits. */
  readonly id: string;
  /** As it is handed to those who verify. */
  readonly text: string;
  readonly key: KeyObject;
}

/** @returns undefined when it is not an Ed25519 verifier key whose id fits */
export function parseVerifierKey(text: string): VerifierKey | undefined {
  const parsed = parseKey(text.trim());
  if (parsed === undefined || keyId(parsed.name, parsed.bytes) !== parsed.id) return undefined;
  const { name, id } = parsed;
  return { name, id, text: text.trim(), key: publicKeyOf(parsed.bytes) };
}

/** Signs notes in the name of one key. */
export class NoteSigner {
  private constructor(
    private readonly key: KeyObject,
    readonly verifier: VerifierKey,
  ) {}

  /** @returns undefined when it is not an Ed25519 signer key whose id fits */
  static parse(text: string): NoteSigner | undefined {
    const trimmed = text.trim();
    const parsed = trimmed.startsWith(SIGNER_KEY_START) ? parseKey(trimmed.slice(SIGNER_KEY_START.length)) : undefined;
    if (parsed === undefined) return undefined;
    const key = createPrivateKey({
      key: Buffer.concat([PKCS8_PREFIX, parsed.bytes]),
      format: 'der',
      type: 'pkcs8',
    });
    const verifier = verifierKeyOf(parsed.name, key);
    return verifier.id === parsed.id ? new NoteSigner(key, verifier) : undefined;
  }

  /**
   * @param text ends in a line break, and has no empty line
   * @returns the note
   */
  sign(text: string): string {
    if (!text.endsWith('\n') || text.includes(TEXT_END)) throw new RangeError('not the text of a note');
    const signature = sign(null, Buffer.from(text), this.key);
    const line = Buffer.concat([Buffer.from(this.verifier.id, 'hex'), signature]).toString('base64');
    return `${text}\n— ${this.verifier.name} ${line}\n`;
  }
}

/** A new key: what signs, and what those who verify need. `name` has neither a space nor a plus sign. */
export function makeSignerKey(name: string): { readonly signerKey: string; readonly verifierKey: string } {
  if (!/^[^\s+]+$/.test(name)) throw new RangeError('the name of a key has neither a space nor a plus sign');
  const seed = randomBytes(KEY_SIZE_BYTES);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const { id, text } = verifierKeyOf(name, key);
  const bytes = Buffer.concat([Buffer.from([ED25519]), seed]).toString('base64');
  return { signerKey: `${SIGNER_KEY_START}${name}+${id}+${bytes}`, verifierKey: text };
}

export interface OpenedNote {
  /** Ends in a line break. */
  readonly text: string;
  /** Which of the keys asked for. */
  readonly signedBy: VerifierKey;
}

/**
 * @param keys signatures by others are passed over
 * @returns undefined when the note is not one, when none of the keys has signed it, or when the signature in the name of
 *   one of them does not hold
 */
export function openNote(note: string, keys: readonly VerifierKey[]): OpenedNote | undefined {
  const end = note.lastIndexOf(TEXT_END);
  if (end < 0 || !note.endsWith('\n')) return undefined;
  const text = note.slice(0, end + 1);
  let signedBy: VerifierKey | undefined;
  for (const line of note.slice(end + TEXT_END.length, -1).split('\n')) {
    const [, name, base64] = SIGNATURE_LINE.exec(line) ?? [];
    if (name === undefined) return undefined;
    const bytes = Buffer.from(base64!, 'base64');
    if (bytes.toString('base64') !== base64) return undefined;
    const id = bytes.subarray(0, KEY_ID_SIZE_BYTES).toString('hex');
    const key = keys.find((candidate) => candidate.name === name && candidate.id === id);
    if (key === undefined) continue;
    const signature = bytes.subarray(KEY_ID_SIZE_BYTES);
    if (signature.length !== SIGNATURE_SIZE_BYTES || !verify(null, Buffer.from(text), key.key, signature)) {
      return undefined;
    }
    signedBy ??= key;
  }
  return signedBy === undefined ? undefined : { text, signedBy };
}

function parseKey(text: string): { name: string; id: string; bytes: Buffer } | undefined {
  const [, name, id, base64] = KEY.exec(text) ?? [];
  if (name === undefined) return undefined;
  const bytes = Buffer.from(base64!, 'base64');
  if (bytes.length !== 1 + KEY_SIZE_BYTES || bytes[0] !== ED25519) return undefined;
  return { name, id: id!, bytes: bytes.subarray(1) };
}

function verifierKeyOf(name: string, privateKey: KeyObject): VerifierKey {
  const bytes = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
  const id = keyId(name, bytes);
  const text = `${name}+${id}+${Buffer.concat([Buffer.from([ED25519]), bytes]).toString('base64')}`;
  return { name, id, text, key: publicKeyOf(bytes) };
}

function publicKeyOf(bytes: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes]), format: 'der', type: 'spki' });
}

function keyId(name: string, publicKey: Buffer): string {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(Buffer.from([ED25519]))
    .update(publicKey)
    .digest()
    .subarray(0, KEY_ID_SIZE_BYTES)
    .toString('hex');
}
