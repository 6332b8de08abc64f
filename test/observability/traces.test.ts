/** One trace a search and one an enrolment, over all processes that have a part in it; what they say, and what not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CUSTODY_IMAGES } from '#contracts/topics.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SamplePhotographs } from '#face/sample-manifest.js';
import { KafkaClient } from '#kafka/kafka-client.js';
import { SPAN_ATTRIBUTES } from '#platform/spans.js';
import { faceImage, imageWithoutFace } from '#testkit/face-images-for-tests.js';
import { answerOf, call, refusalOf } from '#testkit/http-for-tests.js';
import { eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { OtlpReceiver, type ReceivedSpan } from '#testkit/otlp-receiver.js';
import { prometheusIsInstalled, PrometheusForTests } from '#testkit/prometheus-for-tests.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';
/** Spans are sent every 5 s. */
const SENT_WITHIN = { timeoutMs: 30_000 };

const hasPrometheus = prometheusIsInstalled();
if (!hasPrometheus) console.warn('skipped: exemplars in Prometheus; there is no `prometheus` here');

describe('traces', () => {
  let receiver: OtlpReceiver;
  let system: RunningSystem;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let officer: string;

  beforeAll(async () => {
    sample = await samplePhotographsForTests();
    probe = await faceImage(sample, sample.manifest.probe);
    receiver = await OtlpReceiver.start();
    system = await RunningSystem.start(
      await RunningSystem.environment({
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        SHARDS: '2',
        WORKERS: '2',
        LOG_LEVEL: 'info',
      }),
    );
    officer = await system.token('officer');
  });
  afterAll(async () => {
    await system?.stopAndForget();
    await receiver?.close();
  });

  const search = (traceparent?: string): ReturnType<typeof call> =>
    call('POST', `${system.queryUrl}/v1/searches/operator`, officer, operatorForm(probe), {
      ...(traceparent !== undefined && { traceparent }),
    });

  /** When all of these have come, each with how often. */
  function whole(traceId: string, wanted: Readonly<Record<string, number>>): Promise<readonly ReceivedSpan[]> {
    return eventually(() => {
      const spans = receiver.ofTrace(traceId);
      const counts: Record<string, number> = {};
      for (const { service, name } of spans) counts[`${service} ${name}`] = (counts[`${service} ${name}`] ?? 0) + 1;
      expect(counts).toMatchObject(wanted);
      return spans;
    }, SENT_WITHIN);
  }

  /** Each span but one has its parent among them, and lies within the time of the root. */
  function expectConnected(spans: readonly ReceivedSpan[], parentOfRoot = ''): ReceivedSpan {
    const ids = new Set(spans.map(({ spanId }) => spanId));
    const roots = spans.filter(({ parentSpanId }) => !ids.has(parentSpanId));
    expect(roots.map(({ name }) => name)).toHaveLength(1);
    expect(roots[0]!.parentSpanId).toBe(parentOfRoot);
    return roots[0]!;
  }

  const parentOf = (span: ReceivedSpan, spans: readonly ReceivedSpan[]): string | undefined =>
    spans.find(({ spanId }) => spanId === span.parentSpanId)?.name;

  test('of an operator search goes from the request through Kafka to each shard and back', async () => {
    const response = await search();
    expect(answerOf<SearchAnswer>(response).complete).toBe(true);
    const [version, traceId, , flags] = response.headers.get('traceresponse')!.split('-');
    expect([version, flags]).toEqual(['00', '01']);
    const spans = await whole(traceId!, {
      'custody-query POST /v1/searches/operator': 1,
      'custody-query audit': 2,
      'custody-query face pipeline': 1,
      'custody-query decode': 1,
      'custody-query detect': 1,
      'custody-query embed': 1,
      'custody-query gallery': 1,
      'custody-query merge': 1,
      'custody-index process gallery.queries.v1': 2,
      'custody-index search shard': 4,
    });
    const root = expectConnected(spans);
    expect(root.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/v1/searches/operator',
      'http.response.status_code': 200,
      'custody.search.kind': 'operator',
      'custody.search.complete': true,
    });
    const processed = spans.filter(({ name }) => name === 'process gallery.queries.v1');
    expect(new Set(processed.map(({ instance }) => instance)).size).toBe(2);
    for (const span of processed) expect(parentOf(span, spans)).toBe('gallery');
    const gallery = spans.find(({ name }) => name === 'gallery')!;
    expect(gallery.events.map(({ name }) => name)).toEqual(['reply', 'reply', 'reply', 'reply']);
    for (const name of ['decode', 'detect', 'embed']) {
      expect(
        parentOf(
          spans.find((span) => span.name === name)!,
          spans,
        ),
      ).toBe('face pipeline');
    }
  });

  test('go on with the caller’s own, and not where the caller records none', async () => {
    const response = await search(`00-${TRACE_ID}-${CALLER}-01`);
    expect(response.headers.get('traceresponse')).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`));
    expectConnected(await whole(TRACE_ID, { 'custody-index search shard': 4, 'custody-query merge': 1 }), CALLER);
    const unrecorded = TRACE_ID.replace('0a', '0b');
    const silent = await search(`00-${unrecorded}-${CALLER}-00`);
    expect(silent.headers.get('traceresponse')).toMatch(new RegExp(`^00-${unrecorded}-[0-9a-f]{16}-00$`));
    // Another one that is recorded has come since.
    const after = answerTrace(await search());
    await whole(after, { 'custody-index search shard': 4 });
    expect(receiver.ofTrace(unrecorded)).toEqual([]);
  });

  test('of an enrolment goes from the request to the template in the shard', async () => {
    const service = await system.token('service');
    const url = `${system.ingestUrl}/v1/images/traced-1?subjectId=traced-person`;
    const response = await call('PUT', url, service, await faceImage(sample, sample.manifest.enrolled[0]!, 5));
    expect(response.status).toBe(202);
    const spans = await eventually(() => {
      const found = receiver.ofTrace(answerTrace(response));
      expect(found.some(({ name }) => name.startsWith('process gallery.templates.'))).toBe(true);
      expect(found.some(({ name }) => name === 'process custody.images.v1')).toBe(true);
      return found;
    }, SENT_WITHIN);
    expect(expectConnected(spans).name).toBe('PUT /v1/images/:imageId');
    const enrolled = spans.find(({ name }) => name === 'process custody.images.v1')!;
    expect(enrolled.attributes['custody.enrolment.outcome']).toBe('enrolled');
    expect(parentOf(enrolled, spans)).toBe('PUT /v1/images/:imageId');
    const template = spans.find(({ name }) => name.startsWith('process gallery.templates.'))!;
    expect(template.service).toBe('custody-index');
    expect(parentOf(template, spans)).toBe('publish');
    expect(
      parentOf(
        spans.find(({ name }) => name === 'publish')!,
        spans,
      ),
    ).toBe('process custody.images.v1');
    for (const name of ['face pipeline', 'audit', 'store']) {
      expect(
        parentOf(
          spans.find((span) => span.name === name)!,
          spans,
        ),
      ).toBe('process custody.images.v1');
    }
  });

  test('of a retrospective search go from the request over the queue to the answer', async () => {
    const operator = await system.token('operator');
    const url = `${system.queryUrl}/v1/searches/retrospective`;
    const response = await call('POST', url, operator, retrospectiveForm(probe));
    expect(response.status).toBe(202);
    const spans = await whole(answerTrace(response), {
      'custody-query POST /v1/searches/retrospective': 1,
      'custody-query process searches.requests.v1': 1,
      'custody-query run search': 1,
      'custody-query wait': 1,
      'custody-query face pipeline': 1,
      'custody-query gallery': 1,
      'custody-index search shard': 4,
    });
    expectConnected(spans);
    const run = spans.find(({ name }) => name === 'run search')!;
    expect(parentOf(run, spans)).toBe('process searches.requests.v1');
    expect(run.attributes).toMatchObject({ 'custody.search.kind': 'retrospective', 'custody.search.mode': 'exact' });
  });

  test('name the code of what is refused', async () => {
    const url = `${system.queryUrl}/v1/searches/operator`;
    const response = await call('POST', url, officer, operatorForm(await imageWithoutFace()));
    expect(refusalOf(response)).toBe('422 NO_FACE');
    const spans = await whole(answerTrace(response), {
      'custody-query POST /v1/searches/operator': 1,
      'custody-query face pipeline': 1,
    });
    for (const name of ['POST /v1/searches/operator', 'face pipeline']) {
      expect(spans.find((span) => span.name === name)!.attributes['error.type']).toBe('NO_FACE');
    }
  });

  test('say nothing but what may be said of anybody', async () => {
    const dataProtection = await system.token('data-protection');
    const reported = await call('GET', `${system.queryUrl}/v1/subjects/traced-person/access-report`, dataProtection);
    expect(reported.status).toBe(200);
    await whole(answerTrace(reported), {
      'custody-query GET /v1/subjects/:subjectId/access-report': 1,
    });
    const missed = await call('GET', `${system.queryUrl}/v1/somewhere/traced-person`, dataProtection);
    expect(missed.status).toBe(404);
    const [root] = await whole(answerTrace(missed), { 'custody-query GET': 1 });
    expect(root!.attributes['http.response.status_code']).toBe(404);
    const said = new Set(
      receiver.spans.flatMap(({ attributes, events }) => [
        ...Object.keys(attributes),
        ...events.flatMap((event) => Object.keys(event.attributes)),
      ]),
    );
    expect([...said].filter((name) => !(SPAN_ATTRIBUTES as readonly string[]).includes(name))).toEqual([]);
    const all = receiver.bodies.join('\n');
    for (const personal of [
      'traced-person',
      'traced-1',
      'test-officer',
      'railway',
      'CR/2026',
      sample.manifest.probe.subjectId,
    ]) {
      expect(all.includes(personal), personal).toBe(false);
    }
  });

  test('are in the lines of the log that belong to them', async () => {
    const kafka = new KafkaClient({ brokers: system.settings.KAFKA_BROKERS, clientId: 'test', log: silentLog });
    const traceId = TRACE_ID.replace('0a', '0c');
    const headers = { traceparent: `00-${traceId}-${CALLER}-01` };
    await kafka.publisher().publish({ topic: CUSTODY_IMAGES, key: 'no image id', value: probe, headers });
    await eventually(() => {
      const line = system.said.split('\n').find((one) => one.includes('dead-letter'));
      expect(line).toMatch(new RegExp(`"traceId":"${traceId}","spanId":"[0-9a-f]{16}"`));
    });
    expectConnected(await whole(traceId, { 'custody-ingest process custody.images.v1': 1 }), CALLER);
    await kafka.close();
  });

  test.skipIf(!hasPrometheus)('are found from the time that a search took, in Prometheus', async () => {
    const prometheus = await PrometheusForTests.start(
      JSON.stringify({
        global: { scrape_interval: '1s' },
        scrape_configs: [
          { job_name: 'query', static_configs: [{ targets: [`127.0.0.1:${system.settings.QUERY_PORT}`] }] },
        ],
      }),
    );
    try {
      const traceId = answerTrace(await search());
      const found = await eventually(async () => {
        const exemplars = await prometheus.exemplars('custody_search_duration_seconds_bucket');
        expect(exemplars.map(({ labels }) => labels['trace_id'])).toContain(traceId);
        return exemplars;
      }, SENT_WITHIN);
      for (const { labels } of found) expect(Object.keys(labels)).toEqual(['trace_id']);
      // Counters keep the names that rules and dashboards know.
      expect(await prometheus.value('custody_searches_total{kind="operator",outcome="candidates"}')).toBeGreaterThan(0);
    } finally {
      await prometheus.close();
    }
  });
});

function answerTrace({ headers }: { readonly headers: Headers }): string {
  return headers.get('traceresponse')!.split('-')[1]!;
}
