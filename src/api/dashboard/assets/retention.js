/** Block "retention": cohorts by week or month of activation, and the share active in each later one. */

import { heatChart } from "./chart.js";
import { h } from "./dom.js";
import { lacking, orElse } from "./figures.js";
import { count, day, percent, percentRounded } from "./format.js";
import { tableBehind } from "./table.js";
import { t } from "./texts.js";

export default {
  id: "retention",

  async load(view) {
    const interval = await view.periodLength();
    const { data, meta } = await view.report("retention", { interval });
    return { interval, cohorts: data, meta };
  },

  draw(block, { interval, cohorts, meta }) {
    const none = () => lacking(meta);
    const shown = cohorts.filter(({ people }) => people > 0);
    if (!shown.length) return false;
    const most = Math.max(...shown.flatMap(({ periods }) => periods.map(({ offset }) => offset)));
    const offsets = [...Array(most + 1).keys()];
    const rows = shown.map(({ start_date, people, periods }) => ({
      name: `${day(start_date)} · ${count(people)}`,
      cells: offsets.map((offset) => cell(periods.find((period) => period.offset === offset), none())),
    }));
    const chart = heatChart(
      t("retention.title"),
      offsets.map((offset) => t(`retention.${interval}`, { n: offset })),
      rows,
    );
    const flat = shown.flatMap((cohort) => cohort.periods.map((period) => ({ cohort, period })));
    block.content(chart, h("p", { class: "muted" }, t("retention.open")), tableBehind(t("retention.title"), COLUMNS(), flat, none));
    block.files({ columns: COLUMNS(), rows: flat, charts: [chart] });
    return true;
  },
};

const cell = (period, none) =>
  period && { value: period.share, text: orElse(percentRounded, none)(period.share), isOpen: !period.complete };

const COLUMNS = () => [
  { key: "cohort", label: t("retention.cohort"), value: ({ cohort }) => cohort.start_date },
  { key: "people", label: t("figure.activated"), value: ({ cohort }) => cohort.people, format: count },
  { key: "offset", label: t("retention.offset"), value: ({ period }) => period.offset, format: count },
  { key: "active", label: t("figure.active"), value: ({ period }) => period.active, format: count },
  { key: "share", label: t("retention.share"), value: ({ period }) => period.share, format: percent },
  { key: "complete", label: t("retention.complete"), value: ({ period }) => (period.complete ? "✓" : "–") },
];
