// Which pages follow one another in sessions, as bands from step to step.
import { useState } from "preact/hooks";
import { ask, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { percent, short } from "../../format";
import { Icon } from "../../parts/icon";
import { Answered } from "../../parts/states";
import { extra, setExtra, statsParams } from "../../store";
import { t } from "../../words";

interface Paths extends AnsweredOf {
  steps: { step: number; sessions: number; pages: { path: string | null; sessions: number; exits: number }[] }[];
  links: { step: number; from: string | null; to: string | null; sessions: number }[];
}

const HEIGHT = 460;
const COLUMN = 230;
const NODE = 12;
const SPACE = 16;
const HEAD = 30;

export default function Journeys() {
  const start = extra("start");
  const steps = extra("steps", "4");
  const [typed, setTyped] = useState(start);
  const params = statsParams();
  params.push(["steps", steps], ["limit", "8"]);
  if (start) params.push(["start", start]);
  const answer = useAnswer<Paths>(JSON.stringify(params), (signal) => ask("/v1/stats/paths", { params, signal }));
  const begin = (path: string) => { setTyped(path); setExtra("start", path); };
  return (
    <section class="card padded" aria-label={t("Journeys")}>
      <div class="card-head">
        <h2>{t("From page to page")}</h2>
        <form class="inline push" onSubmit={(event) => { event.preventDefault(); begin(typed.trim()); }}>
          <label class="inline">{t("From")} <input class="input" value={typed} placeholder={t("the first page")} onInput={(event) => setTyped(event.currentTarget.value)} /></label>
          {start && <button type="button" class="button small" onClick={() => begin("")}>{t("From the first page")}</button>}
        </form>
        <label class="inline">{t("Steps")}
          <select class="input" value={steps} onChange={(event) => setExtra("steps", event.currentTarget.value)}>
            {["3", "4", "5", "6", "8", "10"].map((count) => <option key={count} value={count}>{count}</option>)}
          </select>
        </label>
      </div>
      <Answered answer={answer} rows={10} isEmpty={(data) => !data.steps.length || data.steps[0].sessions === 0}>
        {(data) => <Flows of={data} onStart={begin} />}
      </Answered>
    </section>
  );
}

interface Node {
  step: number;
  path: string | null;
  sessions: number;
  exits: number;
  y: number;
  height: number;
}

/** Where each page of each step stands; a column is as high as its sessions are many. */
function nodesOf({ steps }: Paths): Node[] {
  const all = Math.max(1, steps[0].sessions);
  const most = Math.max(...steps.map((step) => step.pages.length));
  const room = HEIGHT - HEAD - SPACE * most;
  return steps.flatMap((step) => {
    let y = HEAD;
    return step.pages.map((page) => {
      const height = Math.max(3, (page.sessions / all) * room);
      const node = { step: step.step, ...page, y, height };
      y += height + SPACE;
      return node;
    });
  });
}

function Flows({ of, onStart }: { of: Paths; onStart: (path: string) => void }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const nodes = nodesOf(of);
  const id = (step: number, path: string | null) => `${step} ${path ?? ""}`;
  const byId = new Map(nodes.map((node) => [id(node.step, node.path), node]));
  // How far down each node bands have been laid.
  const left = new Map<string, number>();
  const right = new Map<string, number>();
  const bands = of.links.flatMap((link) => {
    const from = byId.get(id(link.step, link.from));
    const to = byId.get(id(link.step + 1, link.to));
    if (!from || !to) return [];
    const thickness = (link.sessions / Math.max(1, from.sessions)) * from.height;
    const fromId = id(from.step, from.path);
    const toId = id(to.step, to.path);
    const y1 = from.y + (right.get(fromId) ?? 0) + thickness / 2;
    const thicknessTo = (link.sessions / Math.max(1, to.sessions)) * to.height;
    const y2 = to.y + (left.get(toId) ?? 0) + thicknessTo / 2;
    right.set(fromId, (right.get(fromId) ?? 0) + thickness);
    left.set(toId, (left.get(toId) ?? 0) + thicknessTo);
    const x1 = (from.step - 1) * COLUMN + NODE;
    const x2 = (to.step - 1) * COLUMN;
    const middle = (x1 + x2) / 2;
    return [{ link, fromId, toId, width: Math.max(1, Math.min(thickness, thicknessTo)), d: `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` }];
  });
  const bottom = Math.max(...nodes.map((node) => node.y + node.height)) + 20;
  const width = (of.steps.length - 1) * COLUMN + 200;
  const name = (path: string | null) => path ?? t("all others");
  return (
    <>
      <div class="journey" tabIndex={0} role="region" aria-label={t("Journeys, drawn; the table below has the same numbers")}>
        <svg viewBox={`0 0 ${width} ${bottom}`} style={{ maxWidth: `${width * 1.35}px` }} role="group" aria-label={t("Journeys")}>
          {of.steps.map((step) => <text key={step.step} class="faint" x={(step.step - 1) * COLUMN} y={14}>{t("Step {n}", { n: step.step })} · {short(step.sessions)}</text>)}
          {bands.map(({ link, fromId, toId, width: thickness, d }) => (
            <path key={`${fromId}>${toId}`} class={`flow ${chosen === fromId || chosen === toId ? "is-on" : ""}`} d={d} stroke-width={thickness}>
              <title>{`${name(link.from)} → ${name(link.to)}: ${short(link.sessions)}`}</title>
            </path>
          ))}
          {nodes.map((node) => {
            const x = (node.step - 1) * COLUMN;
            return (
              <g key={id(node.step, node.path)} class="node-button" onPointerEnter={() => setChosen(id(node.step, node.path))} onPointerLeave={() => setChosen(null)} onClick={() => node.path && onStart(node.path)}>
                <title>{`${name(node.path)}: ${short(node.sessions)}, ${t("{count} ended here", { count: node.exits })}`}</title>
                <rect class={`node ${node.path === null ? "rest" : ""}`} x={x} y={node.y} width={NODE} height={node.height} rx={3} />
                <text x={x + NODE + 6} y={node.y + Math.min(node.height / 2, 10) + 4}>{clipped(name(node.path))} <tspan class="muted" fill-opacity="0.75">{short(node.sessions)}</tspan></text>
              </g>
            );
          })}
        </svg>
      </div>
      <details class="more-table">
        <summary><Icon name="table" size={15} /> {t("Show as a table")}</summary>
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Journeys")}>
          <table class="table">
            <thead><tr><th scope="col">{t("Step")}</th><th scope="col">{t("From")}</th><th scope="col">{t("To")}</th><th scope="col" class="number">{t("Sessions")}</th><th scope="col" class="number">{t("Share")}</th></tr></thead>
            <tbody>
              {of.links.map((link) => (
                <tr key={`${link.step} ${link.from} ${link.to}`}>
                  <td>{link.step}</td>
                  <td class="wrap-any">{link.from === null ? name(null) : <button type="button" class="link" onClick={() => onStart(link.from!)}>{link.from}</button>}</td>
                  <td class="wrap-any">{name(link.to)}</td>
                  <td class="number">{short(link.sessions)}</td>
                  <td class="number">{percent(link.sessions / Math.max(1, byId.get(id(link.step, link.from))?.sessions ?? 1))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}

const clipped = (text: string) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
