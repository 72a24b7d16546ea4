/** Block "licences": the funnel, unused accounts by age, and on request the first people who do not use theirs. */

import { ApiError } from "./api.js";
import { barChart } from "./chart.js";
import { fileButton } from "./block.js";
import { h } from "./dom.js";
import { lacking, orElse } from "./figures.js";
import { count, fullDay, percent } from "./format.js";
import { problemText } from "./problem.js";
import { scrollable, table, tableBehind } from "./table.js";
import { t } from "./texts.js";

const STEPS = ["people", "activated", "active", "regular"];
const AGES = ["under_30_days", "30_to_59_days", "60_to_89_days", "90_to_179_days", "180_days_or_more", "unknown"];
const UNUSED = { status: "never_activated,dormant" };

export default {
  id: "licences",

  async load(view) {
    const [licences, summary] = await Promise.all([view.report("licences", { depth: 1 }), view.summary()]);
    return { accounts: licences.data[0], figures: summary.data.current, meta: licences.meta };
  },

  draw(block, { accounts, figures, meta }, view) {
    if (!accounts) return false;
    const number = orElse(count, lacking(meta));
    const funnel =
      figures &&
      barChart(
        t("licences.funnel"),
        STEPS.map((key) => step(key, figures, number)),
      );
    const unused = unusedRows(accounts);
    const bars = barChart(
      t("licences.unused"),
      unused.map(({ label, value, isNever }) => ({ name: label, value, text: number(value), tone: isNever ? "tone-4" : "tone-3" })),
    );
    const rows = [...STEPS.map((key) => ({ key, label: t(`figure.${key}`), value: figures?.[key] })), ...unused];
    block.content(
      h(
        "div",
        { class: "split" },
        funnel && h("div", {}, h("h3", {}, t("licences.funnel")), funnel),
        h("div", {}, h("h3", {}, t("licences.unused")), headline(accounts, meta), bars),
      ),
      tableBehind(t("licences.title"), COLUMNS(), rows, () => lacking(meta)),
      firstPeople(view),
    );
    block.files({ columns: COLUMNS(), rows, charts: [funnel, bars].filter(Boolean), more: exports(view) });
    return true;
  },
};

const COLUMNS = () => [
  { key: "figure", label: t("licences.title"), value: ({ label }) => label },
  { key: "value", label: t("count"), value: ({ value }) => value, format: count },
];

function step(key, figures, number) {
  const value = figures[key];
  const hasShare = key !== "people" && value != null && figures.people;
  const share = hasShare ? t("licences.of_people", { share: percent(value / figures.people) }) : "";
  return { name: t(`figure.${key}`), value, text: number(value) + share };
}

function unusedRows(accounts) {
  const ages = AGES.map((age) => ({ key: `dormant_${age}`, label: t(`dormant.${age}`), value: accounts[`dormant_${age}`] }));
  const isShown = ({ key, value }) => value > 0 || !/under_30|unknown/.test(key);
  return [
    { key: "never_activated", label: t("status.never_activated"), value: accounts.never_activated, isNever: true },
    ...ages.filter(isShown),
  ];
}

function headline({ date, accounts, never_activated, dormant, unused_rate }, meta) {
  const [number, share] = [count, percent].map((format) => orElse(format, lacking(meta)));
  const unused = never_activated == null || dormant == null ? null : never_activated + dormant;
  return h(
    "p",
    { class: "headline" },
    h("b", { "data-figure": "unused_rate", "data-value": unused_rate }, share(unused_rate)),
    ` ${t("licences.headline", { unused: number(unused), accounts: number(accounts), date: fullDay(date) })}`,
  );
}

/** The people of the view are requested only when the reader opens the list. */
function firstPeople(view) {
  const body = h("div");
  const details = h("details", { class: "first-people", "data-people": "" }, h("summary", {}, t("licences.people")), body);
  details.addEventListener("toggle", async () => {
    if (!details.open || body.hasChildNodes()) return;
    body.replaceChildren(h("p", { class: "muted" }, t("waiting")));
    try {
      const { data, meta } = await view.users({ ...UNUSED, sort: "last_active_time", limit: 50 });
      const total =
        meta.total == null ? null : h("p", { class: "muted" }, t("licences.shown", { n: count(data.length), total: count(meta.total) }));
      body.replaceChildren(...[scrollable(t("licences.people"), table(t("licences.people"), PEOPLE(), data)), total].filter(Boolean));
    } catch (error) {
      const text = `${problemText(error)} ${error.problem?.required_scope ?? ""}`;
      if (error instanceof ApiError) body.replaceChildren(h("p", { class: "muted" }, text));
    }
  });
  return details;
}

const PEOPLE = () => [
  { key: "user_name", label: t("person"), value: (user) => user.user_name || user.user_id },
  { key: "department_path", label: t("department"), value: (user) => user.department_path },
  { key: "status", label: t("status"), value: (user) => t(`status.${user.status}`) },
  {
    key: "last_active_time",
    label: t("last_active"),
    value: (user) => (user.last_active_time ? fullDay(user.last_active_time.slice(0, 10)) : "–"),
  },
];

/** Buttons for export operations of the API. */
function exports(view) {
  const tables = { "reports/licences": {}, users: UNUSED };
  return Object.entries(tables).flatMap(([name, parameters]) =>
    ["xlsx", "csv"].map((format) => {
      const path = () => view.path(`${name}.${format}`, { ...parameters, bom: format === "csv" ? true : null });
      return fileButton(`${t(`export.${name}`)} ${format.toUpperCase()}`, async ({ saveExport }) => saveExport(await path()));
    }),
  );
}
