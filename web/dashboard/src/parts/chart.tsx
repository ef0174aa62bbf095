// A series over time: lines on a canvas, and the same numbers as a table for whoever does not see them.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { timeFormat } from "../format";
import { isDark } from "../store";
import { t } from "../words";
import { Icon } from "./icon";

export interface Line {
  title: string;
  /** A number at each x, or null where there is none. */
  values: (number | null)[];
  /** As a faint line behind the others, like the period before. */
  isBehind?: boolean;
}

export interface Mark {
  /** Seconds since 1970. */
  at: number;
  text: string;
}

interface Props {
  title: string;
  /** Seconds since 1970, in order. */
  xs: number[];
  lines: Line[];
  zone?: string;
  height?: number;
  /** From here on numbers may still change: dashed. Index of the first such point. */
  openFrom?: number;
  marks?: Mark[];
  showValue: (value: number | null) => string;
  showX: (index: number) => string;
  showLineX?: (line: number, index: number) => string;
  onPick?: (index: number) => void;
}

/** Which of the colours a line has: those behind have one of their own. */
const colourAt = (lines: Line[], at: number) => lines.slice(0, at).filter((line) => !line.isBehind).length % COLOURS.length;

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];

export function Chart(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const [hovered, setHovered] = useState<{ index: number; left: number } | null>(null);
  const [hasTable, setHasTable] = useState(false);
  const latest = useRef(props);
  latest.current = props;
  const dark = isDark.value;
  // What the plot is made from; other changes only need new words.
  const shape = JSON.stringify([props.xs, props.lines, props.zone, props.openFrom, props.marks, props.height, dark]);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const made = new uPlot(options(latest.current, element, (index, left) => setHovered(index === null ? null : { index, left })), dataOf(latest.current), element);
    plot.current = made;
    const pick = () => {
      const { idx } = made.cursor;
      if (idx !== null && idx !== undefined) latest.current.onPick?.(idx);
    };
    made.over.addEventListener("click", pick);
    const watch = new ResizeObserver(() => {
      if (element.clientWidth) made.setSize({ width: element.clientWidth, height: made.height });
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      setHovered(null);
    };
  }, [shape]);

  const shown = hovered && hovered.index < props.xs.length ? hovered : null;
  return (
    <figure class="chart" aria-label={props.title}>
      <div class={`chart-canvas ${props.onPick ? "can-pick" : ""}`} ref={host} aria-hidden="true">
        {shown && (
          <div class={`tooltip ${shown.left > (host.current?.clientWidth ?? 0) / 2 ? "flips" : ""}`} style={{ left: `${shown.left}px` }}>
            <strong>{props.showX(shown.index)}</strong>
            {props.lines.map((line, at) => (
              <div key={line.title} class="tooltip-line">
                <span class={`swatch series-${line.isBehind ? "behind" : colourAt(props.lines, at) + 1}`} />
                <span class="tooltip-name">{line.isBehind ? (props.showLineX?.(at, shown.index) ?? line.title) : line.title}</span>
                <b>{props.showValue(line.values[shown.index] ?? null)}</b>
              </div>
            ))}
            {props.marks?.filter((mark) => mark.at >= props.xs[shown.index] && mark.at < (props.xs[shown.index + 1] ?? Infinity)).map((mark) => (
              <div key={mark.text} class="tooltip-mark">{mark.text}</div>
            ))}
          </div>
        )}
      </div>
      <button type="button" class="link chart-table-switch" aria-expanded={hasTable} onClick={() => setHasTable(!hasTable)}>
        <Icon name="table" size={15} /> {hasTable ? t("Hide the table") : t("Show as a table")}
      </button>
      <div class={hasTable ? "chart-table" : "sr-only"} tabIndex={hasTable ? 0 : undefined} role={hasTable ? "region" : undefined} aria-label={hasTable ? props.title : undefined}>
        <table class="table">
          <caption class="sr-only">{props.title}</caption>
          <thead>
            <tr>
              <th scope="col">{t("Time")}</th>
              {props.lines.map((line) => <th key={line.title} scope="col" class="number">{line.title}</th>)}
            </tr>
          </thead>
          <tbody>
            {props.xs.map((x, index) => (
              <tr key={x}>
                <th scope="row">
                  {props.onPick && hasTable ? (
                    <button type="button" class="link" onClick={() => props.onPick?.(index)}>{props.showX(index)}</button>
                  ) : (
                    props.showX(index)
                  )}
                </th>
                {props.lines.map((line) => <td key={line.title} class="number">{props.showValue(line.values[index] ?? null)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

/** Each line, and behind its end the dashed piece that may still change. */
function dataOf({ xs, lines, openFrom }: Props): uPlot.AlignedData {
  const open = openFrom ?? xs.length;
  const columns = lines.flatMap((line) =>
    line.isBehind || open >= xs.length
      ? [line.values]
      : [line.values.map((value, at) => (at < open ? value : null)), line.values.map((value, at) => (at >= open - 1 ? value : null))],
  );
  return [xs, ...columns] as uPlot.AlignedData;
}

function options(props: Props, element: HTMLElement, hover: (index: number | null, left: number) => void): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const zone = props.zone;
  const font = `12px ${style.fontFamily}`;
  const isOpen = props.openFrom !== undefined && props.openFrom < props.xs.length;
  const single = props.lines.filter((line) => !line.isBehind).length === 1;
  const series: uPlot.Series[] = props.lines.flatMap((line, at): uPlot.Series[] => {
    if (line.isBehind) return [{ stroke: colour("--series-behind"), width: 2, points: { show: false } }];
    const stroke = colour(COLOURS[colourAt(props.lines, at)]);
    const solid: uPlot.Series = {
      stroke,
      width: 2.2,
      points: { show: props.xs.length < 2, size: 7, fill: stroke },
      fill: single ? (plot) => fade(plot, colour("--series-fill")) : undefined,
    };
    return isOpen ? [solid, { ...solid, dash: [5, 5] }] : [solid];
  });
  const narrow = element.clientWidth < 520;
  return {
    width: element.clientWidth || 600,
    height: props.height ?? (narrow ? 220 : 300),
    padding: [12, 22, 0, 0],
    tzDate: zone ? (at) => uPlot.tzDate(new Date(at * 1_000), zone) : undefined,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 9, width: 2 } },
    series: [{}, ...series],
    scales: {
      x: { time: true },
      y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
    },
    axes: [
      {
        stroke: colour("--ink-3"),
        font,
        grid: { show: false },
        ticks: { show: false },
        size: 32,
        space: narrow ? 64 : 84,
        values: (plot, splits, _axis, _found, step) => splits.map((at) => tickText(at, step, zone, plot)),
      },
      {
        stroke: colour("--ink-3"),
        font,
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { show: false },
        size: narrow ? 44 : 56,
        space: 52,
        values: (_plot, splits) => splits.map((value) => props.showValue(value)),
      },
    ],
    hooks: {
      setCursor: [(plot) => hover(plot.cursor.idx ?? null, (plot.cursor.left ?? 0) + (plot.bbox.left / devicePixelRatio))],
      draw: [(plot) => drawMarks(plot, props.marks ?? [], colour("--ink-2"))],
    },
  };
}

function tickText(at: number, step: number, zone: string | undefined, _plot: uPlot): string {
  const options: Intl.DateTimeFormatOptions =
    step >= 86_400 * 27 ? { month: "short", year: "2-digit" } : step >= 86_400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  return timeFormat(zone, options).format(new Date(at * 1_000));
}

function fade(plot: uPlot, top: string): CanvasGradient | string {
  const { top: from, height } = plot.bbox;
  if (!height) return top;
  const gradient = plot.ctx.createLinearGradient(0, from, 0, from + height);
  gradient.addColorStop(0, top);
  gradient.addColorStop(1, "transparent");
  return gradient;
}

/** Annotations: a line and a flag at its head. */
function drawMarks(plot: uPlot, marks: Mark[], colour: string) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  for (const mark of marks) {
    const x = plot.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.arc(x, bbox.top, 4 * devicePixelRatio, 0, Math.PI * 2);
    ctx.fill();
  }
  ctx.restore();
}
