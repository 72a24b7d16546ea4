/** Block "activity over time". */

import { lineChart } from "./chart.js";
import { daysBetween, isWeekend, monthDates } from "./days.js";
import { h } from "./dom.js";
import { lacking, orElse } from "./figures.js";
import { count, dayOfWeek, percent, range } from "./format.js";
import { navigate } from "./state.js";
import { tableBehind } from "./table.js";
import { t } from "./texts.js";

const INTERVALS = ["day", "week", "month"];

/** The lines: for days with their trailing windows, for longer buckets with what saturates less. */
const lines = (interval) => ({
  active: t(`line.active.${interval}`),
  ...(interval === "day"
    ? { wau: t("figure.wau"), mau: t("figure.mau") }
    : { active_per_day: t("line.active_per_day"), regular: t("figure.regular") }),
});

export default {
  id: "activity",

  async load(view) {
    const { interval } = view.state;
    const daily = await view.daily();
    const longer = interval === "day" ? null : await view.report("activity", { interval, trailing: "held" });
    const uncertain = interval === "day" ? await uncertainDates(view, daily.meta) : new Set();
    const { meta } = longer ?? daily;
    const items = longer?.data ?? daily.current;
    const shown = columns(interval).map(({ value }) => value);
    const isWithheld = !items.length || items.some((item) => item.days_counted > 0 && shown.some((value) => value(item) == null));
    return {
      items,
      previous: longer ? [] : daily.previous,
      uncertain,
      // Figures of the answer that the block does not show can be withheld.
      meta: { ...meta, withheld_below: isWithheld ? meta.withheld_below : null },
    };
  },

  draw(block, { items, previous, uncertain, meta }, view) {
    const { interval } = view.state;
    if (!items.some((item) => item.active != null)) return false;
    const dates = items.map((item) => item.start_date);
    const series = Object.entries(lines(interval)).map(([key, name], index) => ({
      name,
      tone: `tone-${index + 1}`,
      values: items.map((item) => item[key]),
    }));
    // The ranges can begin on different weekdays, so their trailing figures are compared.
    if (previous.length) series.push({ name: t("line.before"), tone: "tone-past", values: dates.map((_, index) => previous[index]?.wau) });
    const isUncertain = (item) => (interval === "day" ? uncertain.has(item.start_date) : isCut(item, interval));
    const none = (item) => lacking(meta, item);
    const isWithheld = (item) => meta.withheld_below && item.days_counted > 0 && item.active == null;
    const isFree = (item) => interval === "day" && isWeekend(item.start_date);
    const bands = items.map((item) => (isWithheld(item) ? "withheld" : isUncertain(item) ? "uncertain" : isFree(item) ? "weekend" : null));
    const describe = (index) => (interval === "day" ? dayOfWeek(dates[index]) : range(items[index].start_date, items[index].end_date));
    const format = (value, index) => orElse(count, none(items[index]))(value);
    const chart = lineChart({ label: t("activity.title"), dates, series, format, bands, describe });
    block.content(intervals(interval), chart, tableBehind(t("activity.title"), columns(interval), items, none));
    block.files({ columns: columns(interval), rows: items, charts: [chart] });
    return true;
  },
};

/** Dates whose figures can still change or are not there yet: provisional, late, pending and missing ones. */
async function uncertainDates(view, { days }) {
  const listed = [...days.late, ...days.pending, ...days.missing].map((day) => day.date ?? day);
  if (!days.provisional) return new Set(listed);
  const { data } = await view.coverage();
  return new Set([...listed, ...data.filter(({ state }) => state === "provisional").map(({ date }) => date)]);
}

/** Whether the range cuts a week or month, or some of its dates do not count. */
function isCut({ start_date: from, end_date: to, days_counted: counted }, interval) {
  const days = daysBetween(from, to);
  return counted < days || days < (interval === "week" ? 7 : daysBetween(...monthDates(from.slice(0, 7))));
}

function intervals(current) {
  const button = (interval) =>
    h("button", { "aria-pressed": String(interval === current), onclick: () => navigate({ interval }) }, t(`interval.${interval}`));
  return h("div", { class: "segments", role: "group", "aria-label": t("interval") }, INTERVALS.map(button));
}

const columns = (interval) => [
  { key: "start_date", label: t(`interval.${interval}`), value: (item) => item.start_date },
  ...["users", "activated", "active"].map((key) => ({ key, label: t(`figure.${key}`), value: (item) => item[key], format: count })),
  { key: "active_rate", label: t("figure.active_rate"), value: (item) => item.active_rate, format: percent },
  ...["regular", "wau", "mau"].map((key) => ({ key, label: t(`figure.${key}`), value: (item) => item[key], format: count })),
];
