import { SpanKind, trace } from '@opentelemetry/api';
import { ParentBasedSampler, AlwaysOffSampler } from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, it } from 'vitest';
import { Refusal } from '#domain/errors.js';
import { recordedSpans, type RecordedSpan, type RecordedSpans } from './spans-for-tests.js';
import {
  addPastSpans,
  addSpansOfRecords,
  beginSpan,
  inKeptTrace,
  inPipelineSpan,
  inSpan,
  inSpanOfRecord,
  inSpanOfTracedRecord,
  keepTrace,
  notesOnSpan,
  recordedTraceId,
} from './spans.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SENDER = 'b7ad6b7169203331';
const untraced = { topic: 'custody.images.v1', partition: 3, headers: {} };
const traced = { ...untraced, headers: { traceparent: `00-${TRACE_ID}-${SENDER}-01` } };
const nothing = (): Promise<void> => Promise.resolve();

let spans: RecordedSpans;
afterEach(() => spans?.forget());

const named = (name: string): RecordedSpan => spans.ended().find((span) => span.name === name)!;

describe('the spans of a record', () => {
  it('go on with the trace that it was sent in', async () => {
    spans = recordedSpans();
    await inSpanOfRecord(traced, () => inSpan('store', nothing));
    expect(named('process custody.images.v1')).toMatchObject({
      traceId: TRACE_ID,
      parentSpanId: SENDER,
      kind: SpanKind.CONSUMER,
      attributes: { 'messaging.destination.name': 'custody.images.v1', 'messaging.destination.partition.id': '3' },
    });
    expect(named('store')).toMatchObject({
      traceId: TRACE_ID,
      parentSpanId: named('process custody.images.v1').spanId,
    });
  });

  it('begin a trace where it was sent in none, unless only traced ones are of interest', async () => {
    spans = recordedSpans();
    await inSpanOfTracedRecord(untraced, () => inSpan('store', nothing));
    expect(spans.ended()).toEqual([]);
    await inSpanOfRecord(untraced, nothing);
    expect(named('process custody.images.v1').parentSpanId).toBeUndefined();
    await inSpanOfTracedRecord(traced, nothing);
    expect(spans.ended()).toHaveLength(2);
  });

  it('end with the code of an error and not with its text', async () => {
    spans = recordedSpans();
    const refused = inSpanOfRecord(traced, () => Promise.reject(new Refusal('NO_FACE', 'There is none of Jane Doe.')));
    await expect(refused).rejects.toThrow('NO_FACE');
    await expect(inSpanOfRecord(traced, () => Promise.reject(new Error('of Jane Doe')))).rejects.toThrow();
    expect(spans.ended().map(({ attributes }) => attributes['error.type'])).toEqual(['NO_FACE', 'INTERNAL']);
    expect(JSON.stringify(spans.ended())).not.toContain('Jane');
  });

  it('that were handled together are each in their own trace, and only where that is recorded', () => {
    spans = recordedSpans();
    const unrecorded = { ...untraced, headers: { traceparent: `00-${TRACE_ID}-${SENDER}-00` } };
    addSpansOfRecords([traced, untraced, unrecorded], Date.now() - 20);
    expect(spans.ended()).toHaveLength(1);
    expect(spans.ended()[0]).toMatchObject({ traceId: TRACE_ID, parentSpanId: SENDER });
    expect(spans.ended()[0]!.durationMs).toBeGreaterThanOrEqual(19);
  });
});

describe('a span', () => {
  it('is part of what is under way, and of nothing otherwise', async () => {
    spans = recordedSpans();
    expect(await inSpan('alone', () => Promise.resolve(7))).toBe(7);
    expect([beginSpan('alone'), notesOnSpan(), recordedTraceId()]).toEqual([undefined, undefined, undefined]);
    addPastSpans([['alone', 1]]);
    expect(spans.ended()).toEqual([]);
    await inSpanOfRecord(traced, () => {
      beginSpan('merge')?.end();
      expect(recordedTraceId()).toBe(TRACE_ID);
      return Promise.resolve();
    });
    expect(named('merge').parentSpanId).toBe(named('process custody.images.v1').spanId);
  });

  it('of the face pipeline has its stages one after the other', async () => {
    spans = recordedSpans();
    const processed = { timingsMs: { embed: 3, detect: 20, decode: 10 } };
    await inSpanOfRecord(traced, async () => void (await inPipelineSpan(() => Promise.resolve(processed))));
    const stages = spans.ended().filter(({ parentSpanId }) => parentSpanId === named('face pipeline').spanId);
    expect(stages.map(({ name, durationMs }) => [name, Math.round(durationMs)]).toSorted()).toEqual([
      ['decode', 10],
      ['detect', 20],
      ['embed', 3],
    ]);
  });

  it('of what has waited is of the trace in which it was asked for, whatever is under way by then', async () => {
    spans = recordedSpans();
    let kept = keepTrace();
    await inSpanOfRecord(traced, () => {
      kept = keepTrace();
      return Promise.resolve();
    });
    await inSpanOfRecord(untraced, () => inKeptTrace(kept, 'run search', nothing));
    expect(named('run search').traceId).toBe(TRACE_ID);
    await inKeptTrace(undefined, 'run another', nothing);
    expect(named('run another').parentSpanId).toBeUndefined();
  });

  it('that is not recorded is no exemplar, takes no notes, and is a trace all the same', async () => {
    spans = recordedSpans(new ParentBasedSampler({ root: new AlwaysOffSampler() }));
    await inSpanOfRecord(untraced, () => {
      expect(recordedTraceId()).toBeUndefined();
      expect(notesOnSpan()).toBeUndefined();
      expect(trace.getActiveSpan()!.spanContext().traceId).toMatch(/^[0-9a-f]{32}$/);
      return Promise.resolve();
    });
    expect(spans.ended()).toEqual([]);
  });
});

describe('without tracing', () => {
  it('the work is done as it is given, with nothing around it', async () => {
    const handle = (): Promise<void> => done;
    const done = Promise.resolve();
    expect(inSpanOfRecord(traced, handle)).toBe(done);
    expect(inSpanOfTracedRecord(traced, handle)).toBe(done);
    expect(inSpan('store', handle)).toBe(done);
    expect(inKeptTrace(keepTrace(), 'run search', handle)).toBe(done);
    addSpansOfRecords([traced], 0);
    expect([beginSpan('merge'), notesOnSpan(), keepTrace(), recordedTraceId()]).toEqual(Array(4).fill(undefined));
    await done;
  });
});
