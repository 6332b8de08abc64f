import { SpanStatusCode } from '@opentelemetry/api';
import { Controller, Get, Module, Param, Put, type DynamicModule } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '#domain/errors.js';
import { Health } from './health.js';
import { createLog } from './log.js';
import { Metrics } from './metrics.js';
import { AllowAnyone } from './roles.guard.js';
import { OperationsModule, serveHttp } from './service-process.js';
import { recordedSpans, type RecordedSpans } from './spans-for-tests.js';
import { inSpan } from './spans.js';

@Controller('v1/people')
@AllowAnyone()
class PeopleController {
  @Get(':subjectId')
  one(@Param('subjectId') subject: string): Promise<string> {
    if (subject === 'jane-doe') throw new Refusal('BAD_SUBJECT_ID', 'Not jane-doe.');
    return inSpan('look', () => Promise.resolve(subject));
  }

  @Put(':subjectId')
  broken(@Param('subjectId') subject: string): never {
    throw new Error(subject);
  }
}

@Module({})
class PeopleModule {
  static forTests(): DynamicModule {
    return {
      module: PeopleModule,
      controllers: [PeopleController],
      imports: [OperationsModule.for(new Health([]), new Metrics())],
    };
  }
}

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

let url: string;
let stop: () => Promise<void>;

async function serve(): Promise<void> {
  const log = createLog('test', 'fatal');
  const options = { host: '127.0.0.1', port: 0, portSetting: 'QUERY_PORT', log };
  const server = await serveHttp(PeopleModule.forTests(), options);
  url = server.url;
  stop = () => server.stop(new Health([]), 0);
}

describe('a request', () => {
  let spans: RecordedSpans;
  beforeEach(async () => {
    spans = recordedSpans();
    await serve();
  });
  afterEach(async () => {
    await stop();
    spans.forget();
  });

  it('is a span by its route, and not by its path, with what is done for it', async () => {
    const response = await fetch(`${url}/v1/people/john-doe?name=John`);
    expect(await response.text()).toBe('john-doe');
    const [look, root] = spans.ended();
    expect(root).toMatchObject({
      name: 'GET /v1/people/:subjectId',
      parentSpanId: undefined,
      attributes: {
        'http.request.method': 'GET',
        'http.route': '/v1/people/:subjectId',
        'http.response.status_code': 200,
      },
    });
    expect(look).toMatchObject({ name: 'look', traceId: root!.traceId, parentSpanId: root!.spanId });
    expect(response.headers.get('traceresponse')).toBe(`00-${root!.traceId}-${root!.spanId}-01`);
    expect(JSON.stringify(spans.ended())).not.toMatch(/john/i);
  });

  it('goes on with the trace of its caller, and leaves what else the caller says of it', async () => {
    const headers = { traceparent: `00-${TRACE_ID}-${CALLER}-01`, tracestate: 'who=jane-doe' };
    const response = await fetch(`${url}/v1/people/john-doe`, { headers });
    await response.text();
    expect(spans.ended().at(-1)).toMatchObject({ traceId: TRACE_ID, parentSpanId: CALLER });
    expect(JSON.stringify([spans.ended(), [...response.headers]])).not.toContain('jane');
  });

  it('that is refused names the code, and the trace in its answer', async () => {
    const refused = await fetch(`${url}/v1/people/jane-doe`);
    expect([refused.status, refused.headers.get('traceresponse')?.slice(0, 3)]).toEqual([400, '00-']);
    await refused.text();
    const failed = await fetch(`${url}/v1/people/jane-doe`, { method: 'PUT' });
    expect(failed.status).toBe(500);
    await failed.text();
    expect(spans.ended().map(({ attributes, status }) => [attributes['error.type'], status])).toEqual([
      ['BAD_SUBJECT_ID', SpanStatusCode.UNSET],
      ['INTERNAL', SpanStatusCode.ERROR],
    ]);
    expect(JSON.stringify(spans.ended())).not.toContain('jane');
  });

  it('of what watches the service is no trace, and gets metrics in the form that it asks for', async () => {
    const plain = await fetch(`${url}/metrics`);
    const open = await fetch(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text;version=1.0.0' } });
    expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect([(await plain.text()).includes('# EOF'), (await open.text()).endsWith('# EOF\n')]).toEqual([false, true]);
    expect((await fetch(`${url}/health/live`)).headers.get('traceresponse')).toBeNull();
    expect(spans.ended()).toEqual([]);
  });
});

describe('a request to a service without tracing', () => {
  it('is answered without a word of a trace', async () => {
    await serve();
    const response = await fetch(`${url}/v1/people/john-doe`, {
      headers: { traceparent: `00-${TRACE_ID}-${CALLER}-01` },
    });
    expect([response.status, response.headers.get('traceresponse')]).toEqual([200, null]);
    await response.text();
    await stop();
  });
});
