import { describe, expect, it } from 'vitest';
import { openCheckpoint, signCheckpoint } from './checkpoint.js';
import { leafHash } from './merkle-tree.js';
import { makeSignerKey, NoteSigner, openNote, parseVerifierKey } from './signed-note.js';

/** Of the documentation of golang.org/x/mod/sumdb/note. */
const GO_SIGNER_KEY = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz';
const GO_VERIFIER_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_NOTE = `${GO_TEXT}
— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`;

const keys = makeSignerKey('example.org/audit');
const signer = NoteSigner.parse(keys.signerKey)!;
const verifier = parseVerifierKey(keys.verifierKey)!;

describe('a signed note', () => {
  it('is to the byte what Go’s own example is', () => {
    const ofGo = NoteSigner.parse(GO_SIGNER_KEY)!;
    expect(ofGo.verifier.text).toBe(GO_VERIFIER_KEY);
    expect(ofGo.sign(GO_TEXT)).toBe(GO_NOTE);
    expect(openNote(GO_NOTE, [parseVerifierKey(GO_VERIFIER_KEY)!])?.text).toBe(GO_TEXT);
  });

  it('opens with the key that signed it, among others', () => {
    const other = parseVerifierKey(makeSignerKey('example.org/other').verifierKey)!;
    const note = signer.sign('first line\nsecond line\n');
    expect(openNote(note, [other, verifier])).toEqual({ text: 'first line\nsecond line\n', signedBy: verifier });
    expect(openNote(note, [other])).toBeUndefined();
  });

  it('does not open when any byte of it is another', () => {
    const note = Buffer.from(signer.sign('first line\nsecond line\n'));
    for (let i = 0; i < note.length; i++) {
      const changed = Buffer.from(note);
      changed[i]! ^= 1;
      const text = changed.toString('utf8');
      expect(openNote(text, [verifier]), `byte ${i}: ${JSON.stringify(text)}`).toBeUndefined();
    }
  });

  it('is not made of a text that would end elsewhere', () => {
    for (const text of ['no end', 'an empty\n\nline\n']) expect(() => signer.sign(text)).toThrow(RangeError);
    expect(() => makeSignerKey('two words')).toThrow(RangeError);
  });

  it.each([
    ['nothing', ''],
    ['a key with another id', keys.verifierKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+')],
    ['a signer key', keys.signerKey],
    ['a key that is cut off', keys.verifierKey.slice(0, -5)],
  ])('is not verified with %s', (_, text) => {
    expect(parseVerifierKey(text)).toBeUndefined();
  });

  it('is not signed with a key whose id is of another', () => {
    expect(NoteSigner.parse(keys.signerKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+'))).toBeUndefined();
    expect(NoteSigner.parse(keys.verifierKey)).toBeUndefined();
  });
});

describe('a checkpoint', () => {
  const root = leafHash(Buffer.from('leaf'));

  it('has the origin, the size and the root, a line each, and opens to the same', () => {
    const checkpoint = signCheckpoint(signer, 12_345, root);
    expect(checkpoint.note.split('\n').slice(0, 4)).toEqual([
      'example.org/audit',
      '12345',
      root.toString('base64'),
      '',
    ]);
    expect(openCheckpoint(checkpoint.note, [verifier])).toEqual(checkpoint);
  });

  it('may have lines of others below its own', () => {
    const note = signer.sign(`example.org/audit\n7\n${root.toString('base64')}\nan extension\n`);
    expect(openCheckpoint(note, [verifier])).toMatchObject({ size: 7, root });
  });

  it.each([
    ['another log’s name', `example.org/other\n7\n${root.toString('base64')}\n`],
    ['a size that is not one', `example.org/audit\n-7\n${root.toString('base64')}\n`],
    ['a size with a zero before it', `example.org/audit\n07\n${root.toString('base64')}\n`],
    ['a root of another length', `example.org/audit\n7\n${root.subarray(1).toString('base64')}\n`],
    ['no root', `example.org/audit\n7\n`],
  ])('is none with %s, whoever signed it', (_, text) => {
    expect(openCheckpoint(signer.sign(text), [verifier])).toBeUndefined();
  });
});
