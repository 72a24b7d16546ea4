/** Block "at a glance": the headline figures, each with its change and its course. */

import { sparkline } from "./chart.js";
import { activePerWorkday, isWeekend } from "./days.js";
import { definition } from "./definition.js";
import { h } from "./dom.js";
import { change, count, percent, range } from "./format.js";
import { t } from "./texts.js";

/** `isDaily`: comparable also if the two ranges have different numbers of counted dates. `course`: figure of the sparkline. */
const FIGURES = [
  { key: "active_rate_per_day", format: percent, isShare: true, isDaily: true, course: "active_rate" },
  { key: "active_per_workday", format: count, isDaily: true, course: "active" },
  { key: "people", format: count, course: "users" },
  { key: "activated", format: count, course: "activated" },
  { key: "regular", format: count, course: "wau" },
];

export default {
  id: "glance",

  async load(view) {
    const [summary, previous, daily] = await Promise.all([view.summary(), view.comparison(), view.daily()]);
    return { current: summary.data.current, previous, daily, meta: summary.meta };
  },

  draw(block, { current, previous, daily, meta }) {
    if (!current) return false;
    const now = { ...current, active_per_workday: activePerWorkday(daily.current) };
    const before = previous ? { ...previous, active_per_workday: activePerWorkday(daily.previous) } : undefined;
    const rows = FIGURES.map((figure) => ({ ...figure, now: now[figure.key], before: comparable(figure, now, before) }));
    const versus = before ? t("compared_with", { range: range(before.start_date, before.end_date) }) : "";
    block.content(
      h("p", { class: "range" }, range(meta.start_date, meta.end_date), h("span", { class: "muted" }, versus)),
      h(
        "dl",
        { class: "cards" },
        rows.map((row) => card(row, now, daily.current)),
      ),
    );
    block.files({ columns: COLUMNS, rows });
    return true;
  },
};

const COLUMNS = [
  { key: "figure", value: ({ key }) => key },
  { key: "current", value: ({ now }) => now },
  { key: "previous", value: ({ before }) => before },
];

/** The earlier value; null if it cannot be compared (other counts need equally many counted dates), undefined without one. */
function comparable({ key, isDaily }, now, before) {
  return isDaily || now.days_counted === before?.days_counted ? before?.[key] : before && null;
}

function card({ key, format, isShare, course, now: value, before }, all, days) {
  const { text, direction } = change(value, before, isShare);
  const shown = key === "active_per_workday" ? days.filter((day) => !isWeekend(day.start_date)) : days;
  const values = shown.map((day) => day[course]);
  const isCourse = values.filter((point) => point != null).length > 1;
  const caption = t(`figure.${course}`);
  return h(
    "div",
    { class: "card" },
    h("dt", {}, t(`figure.${key}`), definition(key)),
    h(
      "dd",
      { class: "value" },
      h("b", { "data-figure": key, "data-value": value, "data-previous": before }, format(value)),
      before === null ? h("span", { class: "muted", title: t("not_comparable") }, "–") : before !== undefined && arrow(text, direction),
    ),
    h("dd", { class: "note" }, note(key, all)),
    isCourse && h("dd", { class: "course" }, sparkline(caption, values), h("small", {}, caption)),
  );
}

/** A change with its direction as a sign and as a colour. */
export function arrow(text, direction) {
  return h("span", { class: `change ${["down", "same", "up"][direction + 1]}` }, `${["▼", "＝", "▲"][direction + 1]} ${text}`);
}

function note(key, { people, activated, regular_rate, regular_days, days_counted }) {
  if (key === "activated") return t("note.activated", { share: percent(people ? activated / people : null) });
  if (key === "regular") return t("note.regular", { share: percent(regular_rate), n: regular_days, days: days_counted });
  return t(`note.${key}`);
}
