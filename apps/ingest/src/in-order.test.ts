import { describe, expect, it } from 'vitest';
import { Failure, Refusal } from '#domain/errors.js';
import { isOutsideTheImage } from './in-order.js';

describe('a failure', () => {
  it.each(['KAFKA_UNAVAILABLE', 'STORE_UNAVAILABLE'])('of ours that passes is waited out: %s', (code) => {
    expect(isOutsideTheImage(new Failure(code, 'away', true))).toBe(true);
  });

  it.each(['KAFKA_NOT_AUTHORISED', 'TOPIC_MISSING'])(
    'that somebody has to put right costs no image, however often it is tried: %s',
    (code) => {
      expect(isOutsideTheImage(new Failure(code, 'not allowed', false))).toBe(true);
    },
  );

  it('that the image may be the cause of does not hold up those behind it', () => {
    expect(isOutsideTheImage(new Failure('FACE_PROCESS_LOST', 'lost', true))).toBe(false);
    expect(isOutsideTheImage(new Failure('INTERNAL', 'a bug', false))).toBe(false);
    expect(isOutsideTheImage(new Refusal('IMAGE_UNREADABLE', 'cut short'))).toBe(false);
    expect(isOutsideTheImage(new TypeError('a bug'))).toBe(false);
  });

  it('of the operating system is waited out', () => {
    expect(isOutsideTheImage(Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' }))).toBe(true);
  });
});
