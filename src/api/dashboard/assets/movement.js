/** Block "movement": who came and who went, week by week or month by month. */

import { columnChart } from "./chart.js";
import { h } from "./dom.js";
import { lacking, orElse } from "./figures.js";
import { count, range } from "./format.js";
import { tableBehind } from "./table.js";
import { t } from "./texts.js";

/** Two charts: rows that begin and end, and activity that begins and ends. */
const CHARTS = {
  presence: [
    ["joined", "tone-1"],
    ["transferred_in", "tone-2"],
    ["left", "tone-4", true],
    ["transferred_out", "tone-3", true],
  ],
  activity: [
    ["new", "tone-1"],
    ["reactivated", "tone-2"],
    ["newly_dormant", "tone-3", true],
  ],
};
const FIGURES = ["active", "retained", "new", "reactivated", "newly_dormant", "joined", "left", "transferred_in", "transferred_out"];

export default {
  id: "movement",

  async load(view) {
    const { data, meta } = await view.report("movement", { interval: await view.periodLength() });
    return { items: data, meta };
  },

  draw(block, { items, meta }) {
    const isKnown = (item) => FIGURES.some((key) => item[key] != null);
    if (!items.some(isKnown)) return false;
    const shown = items.filter(isKnown);
    const charts = Object.entries(CHARTS).map(([name, figures]) => chart(name, figures, shown, meta));
    block.content(
      h(
        "div",
        { class: "split" },
        charts.map(({ name, element }) => h("div", {}, h("h3", {}, t(`movement.${name}`)), element)),
      ),
      items.length > shown.length && h("p", { class: "muted" }, t("movement.incomplete")),
      tableBehind(t("movement.title"), COLUMNS(), items, (item) => lacking(meta, item)),
    );
    block.files({ columns: COLUMNS(), rows: items, charts: charts.map(({ element }) => element) });
    return true;
  },
};

function chart(name, figures, items, meta) {
  const series = figures
    .filter(([key]) => items.some((item) => item[key] != null) || (meta.withheld_below && !key.startsWith("transferred")))
    .map(([key, tone, below = false]) => ({ name: t(`figure.${key}`), tone, below, values: items.map((item) => item[key]) }));
  const describe = (index) => range(items[index].start_date, items[index].end_date);
  const format = (value, index) => orElse(count, lacking(meta, items[index]))(value);
  const dates = items.map((item) => item.start_date);
  return { name, element: columnChart({ label: t(`movement.${name}`), dates, series, format, describe }) };
}

const COLUMNS = () => [
  { key: "start_date", label: t("from"), value: (item) => item.start_date },
  { key: "end_date", label: t("to"), value: (item) => item.end_date },
  ...FIGURES.map((key) => ({ key, label: t(`figure.${key}`), value: (item) => item[key], format: count })),
];
