/**
 * Panels as these dashboards have them: a question as the title, what to look at as the description, a unit, the limits
 * of the alerts as thresholds, and links to the runbooks. A dashboard's file says just that; how Grafana wants it
 * written is here, typed by Grafana's own builders.
 */
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  FieldColorBuilder,
  FieldColorModeId,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
  type Dashboard,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as SeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** Of Grafana's 24 columns, and in its rows. */
const SIZE = {
  stat: { width: 6, height: 4 },
  series: { width: 12, height: 8 },
  timeline: { width: 12, height: 8 },
} as const;

export interface PanelQuery {
  /** PromQL; what a process reports is selected with {@link of}. */
  readonly expr: string;
  /** Grafana's: `{{label}}` is the label's value. */
  readonly legend: string;
  /** The search that took so long, where its trace is known. */
  readonly exemplar?: boolean;
}

export interface Panel {
  readonly kind: keyof typeof SIZE;
  /** The question that it answers. */
  readonly title: string;
  /** What is normal, what is not, and where to look then. */
  readonly look: string;
  /** Grafana's name of it. */
  readonly unit: string;
  readonly queries: readonly PanelQuery[];
  /** From this value on, in rising order; below the first one all is well, or the other way round with `goodAbove`. */
  readonly warnAt?: number;
  readonly badAt?: number;
  /** Lower is worse: red below it, green from it on. */
  readonly goodFrom?: number;
  /** Names of alerts. */
  readonly runbooks?: readonly string[];
  readonly stacked?: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly decimals?: number;
  readonly width?: number;
  /** What is shown where there is nothing to show. */
  readonly noValue?: string;
}

export interface DashboardFacts {
  /** Of the file, and of the address. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly panels: readonly Panel[];
}

/** A metric of the chosen processes. `selector` without braces. */
export function of(metric: string, selector = ''): string {
  return `${metric}{instance=~"$instance"${selector === '' ? '' : `,${selector}`}}`;
}

/** What is counted, in a minute. */
export function perMinute(metric: string, selector = '', by = ''): string {
  return `60 * sum${by === '' ? '' : ` by (${by})`} (rate(${of(metric, selector)}[$__rate_interval]))`;
}

export function quantile(q: number, histogram: string, selector = '', by = ''): string {
  const labels = by === '' ? 'le' : `le, ${by}`;
  return `histogram_quantile(${q}, sum by (${labels}) (rate(${of(`${histogram}_bucket`, selector)}[$__rate_interval])))`;
}

export function mean(histogram: string, selector = '', by = ''): string {
  const sum = (series: string): string =>
    `sum${by === '' ? '' : ` by (${by})`} (rate(${of(`${histogram}_${series}`, selector)}[$__rate_interval]))`;
  return `${sum('sum')} / ${sum('count')}`;
}

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };
const REF_IDS = 'ABCDEFGH';
type AnyBuilder = StatBuilder | TimelineBuilder | SeriesBuilder;

function thresholds({ goodFrom, warnAt, badAt }: Panel): ThresholdsConfigBuilder {
  const steps =
    goodFrom !== undefined
      ? [
          { value: null, color: 'red' },
          { value: goodFrom, color: 'green' },
        ]
      : [
          { value: null, color: 'green' },
          ...(warnAt === undefined ? [] : [{ value: warnAt, color: 'orange' }]),
          ...(badAt === undefined ? [] : [{ value: badAt, color: 'red' }]),
        ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

function hasThresholds({ goodFrom, warnAt, badAt }: Panel): boolean {
  return goodFrom !== undefined || warnAt !== undefined || badAt !== undefined;
}

function shape(panel: Panel): AnyBuilder {
  const legend = new VizLegendOptionsBuilder().showLegend(true).placement(LegendPlacement.Bottom);
  const tooltip = new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending);
  switch (panel.kind) {
    case 'stat':
      return new StatBuilder()
        .colorMode(hasThresholds(panel) ? BigValueColorMode.Background : BigValueColorMode.None)
        .graphMode(BigValueGraphMode.None)
        .textMode(
          panel.queries.length > 1 || panel.queries[0]!.legend.includes('{{')
            ? BigValueTextMode.ValueAndName
            : BigValueTextMode.Value,
        )
        .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false));
    case 'timeline':
      return new TimelineBuilder()
        .legend(legend.displayMode(LegendDisplayMode.List).showLegend(false))
        .tooltip(tooltip);
    case 'series':
      return new SeriesBuilder()
        .legend(legend.displayMode(LegendDisplayMode.Table).calcs(['lastNotNull', 'max']))
        .tooltip(tooltip)
        .lineWidth(1)
        .showPoints(VisibilityMode.Never)
        .fillOpacity(panel.stacked === true ? 30 : 0)
        .stacking(new StackingConfigBuilder().mode(panel.stacked === true ? StackingMode.Normal : StackingMode.None))
        .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
        .thresholdsStyle(
          new GraphThresholdsStyleConfigBuilder().mode(
            hasThresholds(panel) ? GraphThresholdsStyleMode.Dashed : GraphThresholdsStyleMode.Off,
          ),
        );
  }
}

function built(panel: Panel, id: number): AnyBuilder {
  const { width, height } = SIZE[panel.kind];
  const builder = shape(panel)
    .id(id)
    .title(panel.title)
    .description(panel.look)
    .datasource(DATASOURCE)
    .unit(panel.unit)
    .span(panel.width ?? width)
    .height(height)
    .thresholds(thresholds(panel));
  panel.queries.forEach(({ expr, legend, exemplar }, i) => {
    const query = new DataqueryBuilder().refId(REF_IDS[i]!).datasource(DATASOURCE).expr(expr).legendFormat(legend);
    // Of a stat just the last value is shown.
    builder.withTarget(panel.kind === 'stat' ? query.instant() : query.range().exemplar(exemplar === true));
  });
  builder.links(
    (panel.runbooks ?? []).map((alert) =>
      new DashboardLinkBuilder(`Runbook: ${alert}`)
        .type(DashboardLinkType.Link)
        .url(`\${docs}/runbooks/${alert}.md`)
        .targetBlank(true),
    ),
  );
  if (panel.min !== undefined) builder.min(panel.min);
  if (panel.max !== undefined) builder.max(panel.max);
  if (panel.decimals !== undefined) builder.decimals(panel.decimals);
  if (panel.noValue !== undefined) builder.noValue(panel.noValue);
  return builder;
}

export function dashboardOf({ name, title, about, panels }: DashboardFacts): Dashboard {
  const dashboard = new DashboardBuilder(`Custody Face Search: ${title}`)
    .uid(`custody-${name}`)
    .description(about)
    .tags(['custody-face-search'])
    .timezone('browser')
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(
      new QueryVariableBuilder('instance')
        .label('Process')
        .description('Of panels that show what processes report; objectives are of all of them')
        .datasource(DATASOURCE)
        .query({ query: 'label_values(custody_clock_seconds, instance)', refId: 'instance' })
        .definition('label_values(custody_clock_seconds, instance)')
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .sort(VariableSort.AlphabeticalAsc)
        .multi(true)
        .includeAll(true)
        .allValue('.*')
        .current({ selected: true, text: ['All'], value: ['$__all'] }),
    )
    .withVariable(
      new TextBoxVariableBuilder('docs')
        .label('Documents')
        .description('Where the folder docs of this release can be read; the links to runbooks begin with it')
        .defaultValue('https://docs.example/custody-face-search'),
    )
    .link(
      new DashboardLinkBuilder('Custody Face Search')
        .type(DashboardLinkType.Dashboards)
        .tags(['custody-face-search'])
        .asDropdown(true)
        .keepTime(true)
        .includeVars(true),
    );
  // From 1: an address of one panel names its id.
  panels.forEach((panel, i) => dashboard.withPanel(built(panel, i + 1)));
  return dashboard.build();
}
