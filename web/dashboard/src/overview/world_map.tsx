// The world, darker where more visitors come from. The shapes are a file of their own, loaded when the map is opened.
import { geoEqualEarth, geoPath } from "d3-geo";
import type { Topology } from "topojson-specification";
import { feature } from "topojson-client";
import { useMemo, useState } from "preact/hooks";
import shapesUrl from "world-atlas/countries-110m.json";
import type { Row } from "../api";
import { useAnswer } from "../answer";
import { number, short, valueName } from "../format";
import { Answered } from "../parts/states";
import { filterBy } from "../store";
import { t } from "../words";
import { alpha2 } from "./country_codes";

const WIDTH = 560;
const HEIGHT = 290;

export default function WorldMap({ rows }: { rows: Row[] }) {
  const answer = useAnswer<Topology>(shapesUrl, async (signal) => (await fetch(shapesUrl, { signal })).json(), false);
  return <Answered answer={answer}>{(topology) => <Shapes topology={topology} rows={rows} />}</Answered>;
}

function Shapes({ topology, rows }: { topology: Topology; rows: Row[] }) {
  const [hovered, setHovered] = useState<{ code: string; x: number; y: number } | null>(null);
  const shapes = useMemo(() => {
    const found = feature(topology, topology.objects.countries) as unknown as GeoJSON.FeatureCollection;
    // Nobody lives there, and it would take a fifth of the height.
    const lived = found.features.filter((shape) => alpha2(String(shape.id)) !== "AQ");
    const path = geoPath(geoEqualEarth().fitSize([WIDTH, HEIGHT], { type: "FeatureCollection", features: lived }));
    return lived.map((shape) => ({ code: alpha2(String(shape.id)), d: path(shape) ?? "" }));
  }, [topology]);
  const counts = new Map(rows.map((row) => [row.dimensions.country, number(row.metrics.visitors) ?? 0]));
  const most = Math.max(1, ...[...counts].map(([code, count]) => (code ? count : 0)));
  const unknown = counts.get(null) ?? 0;
  // By the root: else one large country leaves all others pale.
  const strength = (code: string | undefined) => (code && counts.get(code) ? 0.18 + 0.82 * Math.sqrt(counts.get(code)! / most) : 0);
  return (
    <div class="map">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t("Visitors by country; the tab Countries has them as a list")} onPointerLeave={() => setHovered(null)}>
        {shapes.map(({ code, d }, index) => (
          <path
            key={index}
            d={d}
            class={`land ${strength(code) ? "has" : ""}`}
            style={strength(code) ? { fillOpacity: String(strength(code)) } : undefined}
            onPointerMove={(event) => code && setHovered({ code, x: event.offsetX, y: event.offsetY })}
            onClick={() => code && counts.get(code) && filterBy("country", code)}
          />
        ))}
      </svg>
      {hovered && (
        <div class="tooltip" style={{ left: `${hovered.x}px`, top: `${hovered.y}px` }}>
          <strong>{valueName("country", hovered.code)}</strong> {short(counts.get(hovered.code) ?? 0)}
        </div>
      )}
      {unknown > 0 && <p class="muted map-note">{t("{count} from places that are not known", { count: short(unknown) })}</p>}
    </div>
  );
}
