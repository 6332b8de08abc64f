import { context, ROOT_CONTEXT, trace, TraceFlags } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { afterEach, describe, expect, it } from 'vitest';
import type { OutgoingRecord } from './outgoing-record.js';
import { parseTraceparent, traceOf, traceparentOf, withTrace } from './trace-context.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const record: OutgoingRecord = { topic: 't', key: 'k', value: null, headers: { ce_id: '1' } };

describe('traceparent', () => {
  it.each([TRACEPARENT, TRACEPARENT.replace(/1$/, '0')])('%s is written as it was read', (header) => {
    expect(traceparentOf(parseTraceparent(header)!)).toBe(header);
  });

  it.each([
    undefined,
    '',
    'x',
    TRACEPARENT.toUpperCase(),
    TRACEPARENT.replace('00-', 'ff-'),
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
    `${TRACEPARENT}-more`,
  ])('%s is none', (header) => {
    expect(parseTraceparent(header)).toBeUndefined();
  });

  it('of a later version is read as far as it is known', () => {
    expect(traceparentOf(parseTraceparent(`01${TRACEPARENT.slice(2)}-more`)!)).toBe(TRACEPARENT);
  });
});

describe('a record', () => {
  afterEach(() => context.disable());

  it('that is sent in a trace says so, and keeps its other headers', () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    const sender = parseTraceparent(TRACEPARENT)!;
    context.with(trace.setSpanContext(ROOT_CONTEXT, sender), () => {
      const sent = withTrace({ ...record, headers: { ...record.headers, traceparent: 'of an earlier one' } });
      expect(sent.headers).toEqual({ ce_id: '1', traceparent: TRACEPARENT });
      expect(traceOf(sent.headers!)).toMatchObject({ traceId: sender.traceId, traceFlags: TraceFlags.SAMPLED });
    });
  });

  it('that is sent in none is sent as it is, and not copied', () => {
    expect(withTrace(record)).toBe(record);
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    expect(withTrace(record)).toBe(record);
  });
});
