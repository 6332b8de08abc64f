import { describe, expect, it } from 'vitest';
import { codeOf } from '#domain/codes-for-tests.js';
import { cloudEventHeaders, expectCloudEvent, extension, requiredExtension } from './cloud-events.js';

const headers = cloudEventHeaders(
  {
    type: 't.v1',
    source: '/s',
    subject: 'x',
    contentType: 'a/b',
    extensions: { force: 'Zürich 警察', sex: undefined },
  },
  new Date('2026-01-02T03:04:05.678Z'),
);

describe('CloudEvents headers', () => {
  it('carry the attributes, the extensions that are given as they are, and no others', () => {
    const { ce_id: id, ...rest } = headers;
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(rest).toEqual({
      ce_specversion: '1.0',
      ce_type: 't.v1',
      ce_source: '/s',
      ce_subject: 'x',
      ce_time: '2026-01-02T03:04:05.678Z',
      'content-type': 'a/b',
      ce_force: 'Zürich 警察',
    });
  });

  it('have an id of their own each time', () => {
    const event = { type: 't', source: '/s', subject: 'x' };
    expect(cloudEventHeaders(event)['ce_id']).not.toBe(cloudEventHeaders(event)['ce_id']);
  });

  it('are accepted when they are of the expected type', () => {
    expect(codeOf(() => expectCloudEvent(headers, 't.v1'))).toBeUndefined();
  });

  it.each(['specversion', 'id', 'source', 'type'])('are refused without ce_%s, and with an empty one', (name) => {
    const { [`ce_${name}`]: _left, ...rest } = headers;
    expect(codeOf(() => expectCloudEvent(rest, 't.v1'))).toBe('HEADER_MISSING');
    expect(codeOf(() => expectCloudEvent({ ...headers, [`ce_${name}`]: '' }, 't.v1'))).toBe('HEADER_MISSING');
  });

  it('are refused when the version or the type is another', () => {
    expect(codeOf(() => expectCloudEvent({ ...headers, ce_specversion: '2.0' }, 't.v1'))).toBe('HEADER_UNKNOWN');
    expect(codeOf(() => expectCloudEvent(headers, 'other.v1'))).toBe('HEADER_UNKNOWN');
  });

  it('count an empty extension as absent', () => {
    expect(extension({ ce_a: '' }, 'a')).toBeUndefined();
    expect(codeOf(() => requiredExtension({ ce_a: '' }, 'a'))).toBe('HEADER_MISSING');
    expect(requiredExtension({ ce_a: 'b' }, 'a')).toBe('b');
  });
});
