/** Arithmetic on ISO dates (`2026-11-26`), which have no time zone here. */

const DAY = 86_400_000;

const toTime = (date) => Date.parse(`${date}T00:00:00Z`);

/** Adds days, also a negative number of them. */
export const addDays = (date, days) => new Date(toTime(date) + days * DAY).toISOString().slice(0, 10);

/** Number of days from one date to another, both included. */
export const daysBetween = (from, to) => Math.round((toTime(to) - toTime(from)) / DAY) + 1;

/** Whether the date is a Saturday or a Sunday. */
export const isWeekend = (date) => [0, 6].includes(new Date(toTime(date)).getUTCDay());

/** The month (`2026-10`) before that of today. */
export function lastMonth() {
  const now = new Date();
  return new Date(Date.UTC(now.getFullYear(), now.getMonth() - 1, 1)).toISOString().slice(0, 7);
}

/** First and last date of a month (`2026-10`). */
export function monthDates(month) {
  const [year, number] = month.split("-").map(Number);
  return [`${month}-01`, new Date(Date.UTC(year, number, 0)).toISOString().slice(0, 10)];
}

/** Mean of the values that are not null; null without one. */
export function mean(values) {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

/** Mean of `active` over the counted dates from Monday to Friday. Holidays are not known. */
export const activePerWorkday = (days) => mean(days.filter((day) => !isWeekend(day.start_date)).map((day) => day.active));
