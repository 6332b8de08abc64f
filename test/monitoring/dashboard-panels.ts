/** What a dashboard's JSON says of its panels, for those who ask and draw what Grafana would. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';

export interface PanelThreshold {
  /** From here on; the first has none. */
  readonly value: number | null;
  readonly color: string;
}

export interface DashboardPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly decimals?: number;
  readonly min?: number;
  readonly max?: number;
  readonly noValue?: string;
  readonly stacked: boolean;
  readonly thresholds: readonly PanelThreshold[];
  /** In Grafana's grid of 24 columns. */
  readonly place: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly queries: readonly { readonly expr: string; readonly legend: string }[];
  /** File names of the runbooks that it links to. */
  readonly runbooks: readonly string[];
}

/** The part of Grafana's schema that these dashboards use. */
interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly gridPos: DashboardPanel['place'];
  readonly links?: readonly { readonly url: string }[];
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string;
      readonly decimals?: number;
      readonly min?: number;
      readonly max?: number;
      readonly noValue?: string;
      readonly thresholds: { readonly steps: readonly PanelThreshold[] };
      readonly custom?: { readonly stacking?: { readonly mode: string } };
    };
  };
}

export function panelsOf(dashboard: Dashboard): readonly DashboardPanel[] {
  const panels = JSON.parse(JSON.stringify(dashboard.panels)) as readonly PanelJson[];
  return panels.map(({ id, type, title, description, gridPos, links, targets, fieldConfig }) => {
    const { unit, decimals, min, max, noValue, thresholds, custom } = fieldConfig.defaults;
    return {
      id,
      type,
      title,
      description,
      unit,
      ...(decimals !== undefined && { decimals }),
      ...(min !== undefined && { min }),
      ...(max !== undefined && { max }),
      ...(noValue !== undefined && { noValue }),
      stacked: custom?.stacking?.mode === 'normal',
      thresholds: thresholds.steps,
      place: gridPos,
      queries: targets.map(({ expr, legendFormat }) => ({ expr, legend: legendFormat })),
      runbooks: (links ?? []).map(({ url }) => url.split('/').at(-1)!),
    };
  });
}
