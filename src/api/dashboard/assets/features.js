/** Block "features": who works with which part of Feishu, compared with the range before, and over time. */

import { barChart, sparkline } from "./chart.js";
import { h } from "./dom.js";
import { changeMark, FEATURES, lacking, orElse } from "./figures.js";
import { count, percent } from "./format.js";
import { tableBehind } from "./table.js";
import { t } from "./texts.js";

export default {
  id: "features",

  async load(view) {
    const { data, meta } = await view.summary();
    return { current: data.current, previous: undefined, days: [], meta };
  },

  async loadAll(view) {
    const [{ data, meta }, previous, daily] = await Promise.all([view.summary(), view.comparison(), view.daily()]);
    return { current: data.current, previous, days: daily.current, meta };
  },

  draw(block, { current, previous, days, meta }, view) {
    if (!current?.features) return false;
    const isComparable = previous?.days_counted === current.days_counted;
    const isLacking = previous !== undefined && view.state.compare !== "none" && !isComparable;
    const share = orElse(percent, lacking(meta));
    const rows = FEATURES.map((name) => ({
      name,
      now: current.features[name],
      before: previous?.features[name],
      days: days.map((day) => day.features?.[name]?.active ?? null),
    }));
    const bars = rows.map(({ name, now, before }) => ({
      name: t(`feature.${name}`),
      value: now.regular_rate,
      text: share(now.regular_rate),
      tick: isComparable ? before.regular_rate : null,
    }));
    const chart = barChart(t("features.regular"), bars, 1);
    const key = isComparable
      ? h("p", { class: "muted tick-key" }, t("features.tick"))
      : isLacking && h("p", { class: "muted" }, t("not_comparable"));
    block.content(
      h(
        "div",
        { class: "split" },
        h("div", {}, h("h3", {}, t("features.regular")), chart, key),
        h(
          "div",
          {},
          h("h3", {}, t("features.per_day")),
          h(
            "ul",
            { class: "multiples" },
            rows.map((row) => multiple(row, meta)),
          ),
        ),
      ),
      tableBehind(t("features.title"), COLUMNS(), rows, () => lacking(meta)),
    );
    block.files({ columns: COLUMNS(), rows, charts: [chart] });
    return true;
  },
};

function multiple({ name, now, before, days }, meta) {
  const label = t("features.course", { name: t(`feature.${name}`) });
  return h(
    "li",
    {},
    h("span", { class: "name" }, t(`feature.${name}`)),
    h("b", { "data-figure": `features.${name}.active_per_day`, "data-value": now.active_per_day }, orElse(count, lacking(meta))(now.active_per_day)),
    before && changeMark(now.active_per_day, before.active_per_day),
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
