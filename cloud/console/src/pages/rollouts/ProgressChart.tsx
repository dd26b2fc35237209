import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";

import type { FleetEvent } from "../../api/client";
import { clock } from "../../ui/format";
import { history } from "./history";

const HEIGHT = 150;

/** Steps between times, in seconds: the labels have no smaller unit. */
const STEPS = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/** Steps between lines: there are no half devices. */
const WHOLE = [1, 2, 5].flatMap((step) => [step, 10 * step, 100 * step, 1000 * step]).toSorted((a, b) => a - b);

/** Devices that serve the release, and that failed, over time. */
export function ProgressChart({ events, total }: { events: FleetEvent[]; total: number }) {
  const frame = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme("light");
  const line = useMemo(() => history(events), [events]);
  useEffect(() => {
    if (!frame.current || line.times.length < 2) return;
    const data: uPlot.AlignedData = [line.times, line.active, line.failed];
    const plot = new uPlot(options(frame.current, total, line.failed.some((failed) => failed > 0)), data, frame.current);
    const watch = new ResizeObserver(([entry]) => {
      if (entry) plot.setSize({ width: entry.contentRect.width, height: HEIGHT });
    });
    watch.observe(frame.current);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [line, total, scheme]);
  const active = line.active.at(-1) ?? 0;
  const failed = line.failed.at(-1) ?? 0;
  const said = `${active} of ${total} devices serve the release, ${failed} failed`;
  return <div ref={frame} role="img" aria-label={said} style={{ marginBottom: 12 }} />;
}

/** `failures`: whether there is a line of failed devices to draw. */
function options(frame: HTMLElement, total: number, failures: boolean): uPlot.Options {
  const color = (name: string) => getComputedStyle(frame).getPropertyValue(name).trim();
  const { fontFamily } = getComputedStyle(frame);
  const axis = { font: `12px ${fontFamily}`, stroke: color("--mantine-color-dimmed"), grid: { stroke: color("--mantine-color-default-border"), width: 1 } };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const series = (label: string, stroke: string, fill?: string): uPlot.Series => ({
    label,
    stroke,
    width: 2,
    points: { show: false },
    ...(stepped && { paths: stepped }),
    ...(fill && { fill }),
  });
  return {
    width: frame.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    // Room above the highest line: a line on the edge is cut in half.
    scales: { y: { range: [0, 1.08 * Math.max(total, 1)] } },
    axes: [
      { ...axis, values: (_, times) => times.map((time) => clock(new Date(1000 * time).toISOString())), space: 60, incrs: STEPS },
      { ...axis, size: 32, incrs: WHOLE },
    ],
    series: [
      {},
      series("active", color("--mantine-color-leaf-filled"), color("--mantine-color-leaf-light")),
      { ...series("failed", color("--mantine-color-red-filled")), show: failures },
    ],
  };
}
