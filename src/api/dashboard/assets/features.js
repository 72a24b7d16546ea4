/** Block "features": who works with which part of Feishu, compared with the range before, and over time. */

import { barChart, sparkline } from "./chart.js";
import { arrow } from "./glance.js";
import { h } from "./dom.js";
import { change, count, percent } from "./format.js";
import { tableBehind } from "./table.js";
import { t } from "./texts.js";

/** The features in the order of the API. */
export const FEATURES = ["im", "docs", "cal", "vc", "search", "email", "task"];

export default {
  id: "features",

  async load(view) {
    const [summary, previous, daily] = await Promise.all([view.summary(), view.comparison(), view.daily()]);
    return { current: summary.data.current, previous, days: daily.current };
  },

  draw(block, { current, previous, days }) {
    if (!current?.features) return false;
    const isComparable = previous?.days_counted === current.days_counted;
    const rows = FEATURES.map((name) => ({
      name,
      now: current.features[name],
      before: previous?.features[name],
      days: days.map((day) => day.features?.[name]?.active ?? null),
    }));
    const bars = rows.map(({ name, now, before }) => ({
      name: t(`feature.${name}`),
      value: now.regular_rate,
      text: percent(now.regular_rate),
      tick: isComparable ? before.regular_rate : null,
    }));
    const chart = barChart(t("features.regular"), bars, 1);
    block.content(
      h(
        "div",
        { class: "split" },
        h("div", {}, h("h3", {}, t("features.regular")), chart, isComparable && h("p", { class: "muted tick-key" }, t("features.tick"))),
        h("div", {}, h("h3", {}, t("features.per_day")), h("ul", { class: "multiples" }, rows.map(multiple))),
      ),
      tableBehind(t("features.title"), COLUMNS(), rows),
    );
    block.files({ columns: COLUMNS(), rows, charts: [chart] });
    return true;
  },
};

function multiple({ name, now, before, days }) {
  const { text, direction } = change(now.active_per_day, before?.active_per_day);
  const label = t("features.course", { name: t(`feature.${name}`) });
  return h(
    "li",
    {},
    h("span", { class: "name" }, t(`feature.${name}`)),
    h("b", { "data-figure": `features.${name}.active_per_day`, "data-value": now.active_per_day }, count(now.active_per_day)),
    before && arrow(text, direction),
    days.filter((value) => value != null).length > 1 && sparkline(label, days),
  );
}

const figure = (key, format, label = t(`figure.feature.${key}`)) => ({ key, label, value: ({ now }) => now[key], format });

const COLUMNS = () => [
  { key: "feature", label: t("feature"), value: ({ name }) => t(`feature.${name}`) },
  figure("active_per_day", count, t("features.per_day")),
  figure("regular", count, t("figure.regular")),
  figure("regular_rate", percent, t("figure.regular_rate")),
  figure("active", count),
  figure("adoption", percent),
  { key: "previous_regular_rate", label: t("figure.feature.previous"), value: ({ before }) => before?.regular_rate, format: percent },
];
