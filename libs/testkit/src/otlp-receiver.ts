/**
 * A collector that keeps what it is sent: OTLP over HTTP in JSON, traces only.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

type Value = string | number | boolean;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly service: string;
  /** Which of the service's processes. */
  readonly instance: string;
  readonly attributes: Readonly<Record<string, Value>>;
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, Value>> }[];
  readonly startMs: number;
  readonly endMs: number;
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, Value>>;
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly OtlpAttribute[];
  readonly events?: readonly { readonly name: string; readonly attributes?: readonly OtlpAttribute[] }[];
}

interface OtlpTraces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

export class OtlpReceiver {
  /** Everything that came, as it came. */
  readonly bodies: string[] = [];
  readonly spans: ReceivedSpan[] = [];

  private constructor(private readonly server: Server) {}

  /** @param port any that is free when it is not given */
  static async start(host = '127.0.0.1', port = 0): Promise<OtlpReceiver> {
    const server = createServer((request, response) => {
      void buffer(request).then((body) => {
        receiver.receive(body.toString('utf8'));
        response.setHeader('content-type', 'application/json');
        response.end('{}');
      });
    });
    const receiver = new OtlpReceiver(server);
    server.listen(port, host);
    await once(server, 'listening');
    return receiver;
  }

  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  ofTrace(traceId: string): readonly ReceivedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private receive(body: string): void {
    this.bodies.push(body);
    for (const { resource, scopeSpans } of (JSON.parse(body) as OtlpTraces).resourceSpans) {
      const process = plain(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        this.spans.push({
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          name: span.name,
          service: String(process['service.name']),
          instance: String(process['service.instance.id']),
          attributes: plain(span.attributes),
          events: (span.events ?? []).map(({ name, attributes }) => ({ name, attributes: plain(attributes) })),
          startMs: Number(span.startTimeUnixNano) / 1e6,
          endMs: Number(span.endTimeUnixNano) / 1e6,
        });
      }
    }
  }
}

/** Numbers may come as texts. */
function plain(attributes: readonly OtlpAttribute[] = []): Record<string, Value> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]!]));
}
