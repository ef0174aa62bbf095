// Ranges of days: presets, their days, and the range before or after. Days are texts such as 2026-03-01, and what is
// today is passed in, because it is that of the site's zone.

export interface Days {
  first: string;
  last: string;
}

export const PRESETS = [
  "today", "yesterday", "7d", "30d", "90d", "week", "last_week", "month", "last_month", "6mo", "12mo", "year", "last_year",
];

const DAY_MS = 86_400_000;
const toDate = (day: string) => new Date(`${day}T00:00:00Z`);
const toDay = (date: Date) => date.toISOString().slice(0, 10);

export const addDays = (day: string, days: number) => toDay(new Date(toDate(day).getTime() + days * DAY_MS));

export const daysBetween = (first: string, last: string) => Math.round((toDate(last).getTime() - toDate(first).getTime()) / DAY_MS);

/** The first of the month so many months away. */
export function addMonths(day: string, months: number): string {
  const date = toDate(day);
  return toDay(new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1)));
}

const monday = (day: string) => addDays(day, -((toDate(day).getUTCDay() + 6) % 7));
const monthEnd = (day: string) => addDays(addMonths(day, 1), -1);

/** The day in a time zone. */
export function dayIn(zone: string | undefined, at: Date): string {
  // Sweden writes dates as ISO does.
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }).format(at);
}

/** The days of a preset or of two days; undefined for two instants. */
export function daysOf(range: string, today: string): Days | undefined {
  const days = /^(\d{4}-\d\d-\d\d),(\d{4}-\d\d-\d\d)$/.exec(range);
  if (days) return { first: days[1], last: days[2] };
  const count = /^(\d+)(d|mo)$/.exec(range);
  if (count) {
    const back = Number(count[1]) - 1;
    return { first: count[2] === "d" ? addDays(today, -back) : addMonths(today, -back), last: today };
  }
  const year = Number(today.slice(0, 4));
  switch (range) {
    case "today":
      return { first: today, last: today };
    case "yesterday":
      return { first: addDays(today, -1), last: addDays(today, -1) };
    case "week":
      return { first: monday(today), last: today };
    case "last_week":
      return { first: addDays(monday(today), -7), last: addDays(monday(today), -1) };
    case "month":
      return { first: addMonths(today, 0), last: today };
    case "last_month":
      return { first: addMonths(today, -1), last: addDays(addMonths(today, 0), -1) };
    case "year":
      return { first: `${year}-01-01`, last: today };
    case "last_year":
      return { first: `${year - 1}-01-01`, last: `${year - 1}-12-31` };
    default:
      return undefined;
  }
}

/** The range one step before (-1) or after (1); undefined if that has not begun. */
export function shiftRange(range: string, step: -1 | 1, today: string): string | undefined {
  const days = daysOf(range, today);
  if (!days) return undefined;
  const { first, last } = days;
  let moved: Days;
  if (range === "year" || isWholeYear(days)) {
    const year = Number(first.slice(0, 4)) + step;
    moved = { first: `${year}-01-01`, last: `${year}-12-31` };
  } else if (range === "month" || isWholeMonth(days)) {
    moved = { first: addMonths(first, step), last: monthEnd(addMonths(first, step)) };
  } else if (range === "week") {
    moved = { first: addDays(first, step * 7), last: addDays(first, step * 7 + 6) };
  } else {
    const length = daysBetween(first, last) + 1;
    moved = { first: addDays(first, step * length), last: addDays(last, step * length) };
  }
  return moved.first > today ? undefined : named(moved, today);
}

const isWholeMonth = ({ first, last }: Days) => first.endsWith("-01") && last === monthEnd(first);
const isWholeYear = ({ first, last }: Days) => first.endsWith("-01-01") && last === `${first.slice(0, 4)}-12-31`;

/** The preset that has these days, so that "back and forth" ends where it began; else the days themselves. */
function named(days: Days, today: string): string {
  for (const preset of ["today", "yesterday", "week", "last_week", "month", "last_month", "year", "last_year"]) {
    const own = daysOf(preset, today);
    if (own && own.first === days.first && (own.last === days.last || (own.last === today && days.last > today))) return preset;
  }
  return `${days.first},${days.last > today ? today : days.last}`;
}

/** Two days in the order of time. */
export const customRange = (a: string, b: string) => (a <= b ? `${a},${b}` : `${b},${a}`);

/** What a point of a series becomes as a range, and the interval to show it by. */
export function drillDown(interval: string, from: string, until: string): { range: string; interval: string } | undefined {
  const first = from.slice(0, 10);
  switch (interval) {
    case "day":
      return { range: `${first},${first}`, interval: "" };
    case "week":
    case "month":
      // The end is not included, and is midnight, or now.
      return { range: `${first},${until.slice(11, 19) === "00:00:00" ? addDays(until.slice(0, 10), -1) : until.slice(0, 10)}`, interval: "" };
    case "hour":
      return { range: `${from}..${until}`, interval: "minute" };
    default:
      return undefined;
  }
}
