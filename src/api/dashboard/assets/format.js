/** Numbers, dates and durations in the language of the page. */

import { language, t } from "./texts.js";

const formatters = new Map();

function formatter(Kind, options) {
  const key = language() + Kind.name + JSON.stringify(options);
  if (!formatters.has(key)) formatters.set(key, new Kind(language(), options));
  return formatters.get(key);
}

const NONE = "–";
const numbers = (options) => (value) => (value == null ? NONE : formatter(Intl.NumberFormat, options).format(value));

/** A count, or a mean of counts without decimals. */
export const count = numbers({ maximumFractionDigits: 0 });
/** A share between 0 and 1 as a percentage with one decimal. */
export const percent = numbers({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
/** A share as a percentage without decimals. */
export const percentRounded = numbers({ style: "percent", maximumFractionDigits: 0 });

const dates = (options) => (date) =>
  date ? formatter(Intl.DateTimeFormat, { timeZone: "UTC", ...options }).format(new Date(`${date}T00:00:00Z`)) : NONE;

/** Month and day. */
export const day = dates({ month: "short", day: "numeric" });
/** Month, day and weekday. */
export const dayOfWeek = dates({ month: "short", day: "numeric", weekday: "short" });
/** Year, month and day. */
export const fullDay = dates({ year: "numeric", month: "short", day: "numeric" });
/** First and last date. */
export const range = (from, to) => (from === to ? fullDay(from) : `${fullDay(from)} – ${fullDay(to)}`);

/** An instant (RFC 3339) in the time zone of its own offset, with that offset. */
export function instant(text) {
  if (!text) return NONE;
  const [, date, time, zone] = /^(.{10})T(.{5}).*?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  return date ? `${fullDay(date)} ${time} (UTC${zone === "Z" ? "" : zone.replace(/:00$/, "")})` : text;
}

/** The name of a geo, which is a country. */
export const geoName = (geo) => formatter(Intl.DisplayNames, { type: "region" }).of(geo.toUpperCase());

/** Seconds as a rough duration: seconds below two minutes, then minutes, then hours. */
export function duration(seconds) {
  const [unit, size] = seconds < 120 ? ["second", 1] : seconds < 7200 ? ["minute", 60] : ["hour", 3600];
  return numbers({ style: "unit", unit, maximumFractionDigits: 0 })(seconds / size);
}

/**
 * The difference of a figure to its earlier value: of shares in points, of others relative.
 * @returns {{text: string, direction: number}|null} `text` without a sign, direction: -1, 0 or 1; null if it is not known
 */
export function change(current, previous, isShare) {
  if (current == null || previous == null || (!isShare && previous === 0)) return null;
  const difference = isShare ? Math.round((current - previous) * 1000) / 10 : Math.round((current / previous - 1) * 1000) / 10;
  const shown = numbers({ minimumFractionDigits: 1, maximumFractionDigits: 1 })(Math.abs(difference));
  return { text: isShare ? t("points", { n: shown }) : `${shown}%`, direction: Math.sign(difference) };
}
