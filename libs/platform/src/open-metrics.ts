/**
 * The same metrics as OpenMetrics text, which alone has exemplars. The plain text stays what it was: prom-client writes
 * one or the other for a registry, and takes `_total` off the names of counters for good when it writes OpenMetrics.
 * https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
 */
import { Registry, type Metric, type OpenMetricsContentType } from 'prom-client';

/**
 * @param accept of the request. By hand, as Prometheus names parameters that come and go (`version`, `escaping`), of which
 *   the usual rules want each to be known here; it takes plain text too where it asks for OpenMetrics first
 */
export function wantsOpenMetrics(accept: string | undefined): boolean {
  return accept !== undefined && /\bapplication\/openmetrics-text\b/i.test(accept);
}

export async function openMetricsText(registry: Registry): Promise<string> {
  const view = new Registry<OpenMetricsContentType>();
  view.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const metric of registry.getMetricsAsArray()) view.registerMetric(withNameOfItsOwn(metric as unknown as Metric));
  return view.metrics();
}

/** Whoever renames it renames only what it was given. */
function withNameOfItsOwn(metric: Metric): Metric {
  let name: unknown = Reflect.get(metric, 'name');
  return new Proxy(metric, {
    get: (target, property) => (property === 'name' ? name : (Reflect.get(target, property) as unknown)),
    set: (target, property, value) => {
      if (property !== 'name') return Reflect.set(target, property, value);
      name = value;
      return true;
    },
  });
}
