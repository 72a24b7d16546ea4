/** Block "at a glance": the headline figures, each with its change and its course. */

import { sparkline } from "./chart.js";
import { activePerWorkday, isWeekend } from "./days.js";
import { definition } from "./definition.js";
import { h } from "./dom.js";
import { changeMark, lacking, orElse } from "./figures.js";
import { count, day, percent, range } from "./format.js";
import { problemText } from "./problem.js";
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

  /** The summary alone, because the days before the range take longer. */
  async load(view) {
    const { data, meta } = await view.summary();
    return { current: data.current, previous: view.state.compare === "previous" ? data.previous : undefined, daily: null, meta };
  },

  async loadAll(view) {
    const [{ data, meta }, previous, daily] = await Promise.all([view.summary(), view.comparison(), view.daily()]);
    // A mean of days without the withheld ones is not that of all days.
    const isWithheld = daily.current.some(({ days_counted, active }) => days_counted > 0 && active == null);
    const withheld_below = meta.withheld_below ?? (isWithheld ? daily.meta.withheld_below : null);
    return { current: data.current, previous, daily, meta: { ...meta, withheld_below } };
  },

  draw(block, { current, previous, daily, meta }, view) {
    if (!current) return false;
    const now = { ...current, active_per_workday: daily && activePerWorkday(daily.current) };
    const before = previous && { ...previous, active_per_workday: daily && activePerWorkday(daily.previous) };
    const rows = FIGURES.map((figure) => ({ ...figure, now: now[figure.key], before: comparable(figure, now, before) }));
    block.content(
      h("p", { class: "range" }, range(meta.start_date, meta.end_date), h("span", { class: "muted" }, versus(before, view.state))),
      incomplete(meta, view.partialReason),
      h(
        "dl",
        { class: "cards" },
        rows.map((row) => card(row, now, daily?.current, lacking(meta))),
      ),
    );
    block.files({ columns: COLUMNS, rows });
    return true;
  },
};

/** Most dates that are listed of a state. */
const MOST_DATES = 5;

const COLUMNS = [
  { key: "figure", value: ({ key }) => key },
  { key: "current", value: ({ now }) => now },
  { key: "previous", value: ({ before }) => before },
];

/** The range that is compared with, or that it has no figures. */
function versus(before, { compare }) {
  if (before) return t("compared_with", { range: range(before.start_date, before.end_date) });
  return before === null && compare !== "none" ? t("no_comparison") : "";
}

/** The days of the range that are not in the figures, and why. */
function incomplete({ days }, reason) {
  const states = ["missing", "late", "pending"].filter((state) => days[state].length);
  if (!states.length) return null;
  const dates = (state) => [...new Set(days[state].map(({ date }) => day(date)))].slice(0, MOST_DATES).join(t("comma"));
  const listed = states.map((state) => t("glance.days", { state: t(`foot.${state}`), n: count(days[state].length), dates: dates(state) }));
  const text = t("glance.incomplete", { days: listed.join(t("separator")) });
  return h("p", { class: "muted", "data-incomplete": "" }, reason ? `${problemText(reason)} ${text}` : text);
}

/** The earlier value; null if it cannot be compared (other counts need equally many counted dates), undefined without one. */
function comparable({ key, isDaily }, now, before) {
  if (!before) return undefined;
  return isDaily || now.days_counted === before.days_counted ? before[key] : null;
}

/** `days` is undefined until they are there. */
function card({ key, format, isShare, course, now: value, before }, all, days, none) {
  const isWorkdays = key === "active_per_workday";
  const isLoading = isWorkdays && !days;
  const shown = (days ?? []).filter((item) => !isWorkdays || !isWeekend(item.start_date));
  const values = shown.map((item) => item[course]);
  const isCourse = values.filter((point) => point != null).length > 1;
  const caption = t(`figure.${course}`);
  return h(
    "div",
    { class: "card" },
    h("dt", {}, t(`figure.${key}`), definition(key)),
    h(
      "dd",
      { class: "value" },
      h("b", { "data-figure": key, "data-value": value, "data-previous": before }, isLoading ? "…" : orElse(format, none)(value)),
      before !== undefined && !isLoading && changeMark(value, before, isShare),
    ),
    h("dd", { class: "note" }, note(key, all)),
    (isCourse || !days) && h("dd", { class: "course" }, isCourse ? sparkline(caption, values) : h("div", { class: "sparkline" }), h("small", {}, caption)),
  );
}

function note(key, { people, activated, regular_rate, regular_days, days_counted }) {
  if (key === "activated") return t("note.activated", { share: percent(people ? activated / people : null) });
  if (key === "regular") return t("note.regular", { share: percent(regular_rate), n: regular_days, days: days_counted });
  return t(`note.${key}`);
}
