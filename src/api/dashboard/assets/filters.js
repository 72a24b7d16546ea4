/** The bar above the blocks: period, comparison, geo, department, language, theme and access. */

import { signOut } from "./access.js";
import { h, setting } from "./dom.js";
import { geoName } from "./format.js";
import { navigate, PERIODS } from "./state.js";
import { t } from "./texts.js";

/** The geos that the gateway serves. */
const GEOS = setting("geos").split(",");

/** The elements of the bar for a state. */
export function filters(state) {
  return [
    h(
      "div",
      { class: "segments periods", role: "group", "aria-label": t("period") },
      PERIODS().map((period) => periodButton(period, state)),
    ),
    dateRange(state),
    select(
      "compare",
      t("compare"),
      ["previous", "year", "none"].map((value) => [value, t(`compare.${value}`)]),
      state.compare,
    ),
    (GEOS.length > 1 || state.geo) && select("geo", t("geo"), geos(state.geo), state.geo ?? ""),
    state.department_path != null && department(state.department_path),
  ].filter(Boolean);
}

/** Buttons of the page itself. */
export function pageButtons(state, hasAccess) {
  const isDark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const other = document.documentElement.lang === "en" ? "zh" : "en";
  return [
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        lang: other === "zh" ? "zh-CN" : "en",
        "data-action": "language",
        onclick: () => navigate({ lang: other }),
      },
      other === "zh" ? "中文" : "English",
    ),
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        "data-action": "theme",
        "aria-pressed": String(isDark),
        onclick: () => navigate({ theme: isDark ? "light" : "dark" }),
      },
      t("theme.dark"),
    ),
    hasAccess && h("button", { class: "quiet", "data-action": "sign-out", onclick: signOut }, t("access.sign_out")),
  ].filter(Boolean);
}

function periodButton(period, state) {
  const [, days] = /^(\d+)d$/.exec(period) ?? [];
  const text = !days ? t("period.last_month") : days > 1 ? t("period.days", { n: days }) : t("period.latest");
  const go = () => navigate({ period, start_date: undefined, end_date: undefined });
  return h("button", { "aria-pressed": String(state.period === period), onclick: go }, text);
}

/** Shows the dates of a period, which only the gateway knows. */
export function showDates(bar, { start_date, end_date }) {
  bar.querySelector("[name=start_date]").value = start_date;
  bar.querySelector("[name=end_date]").value = end_date;
}

function dateRange({ start_date, end_date, period }) {
  const input = (name, value, label) => h("input", { type: "date", name, value, "aria-label": t(label) });
  const [from, to] = [input("start_date", start_date, "from"), input("end_date", end_date, "to")];
  const apply = (event) => {
    event.preventDefault();
    if (!from.value || !to.value) return;
    const [first, last] = [from.value, to.value].sort();
    navigate({ period: undefined, start_date: first, end_date: last });
  };
  const isOther = period && !PERIODS().includes(period);
  return h(
    "form",
    { class: "dates", onsubmit: apply },
    isOther && h("b", {}, period),
    from,
    h("span", { "aria-hidden": "true" }, "–"),
    to,
    h("button", {}, t("apply")),
  );
}

function select(name, label, options, value) {
  const element = h(
    "select",
    { name, onchange: () => navigate({ [name]: element.value || undefined }) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return h("label", { class: "choice" }, h("span", {}, label), element);
}

/** A link can select several geos; the list then has that selection as well. */
function geos(current = "") {
  const known = GEOS.includes(current) || !current ? GEOS : [...GEOS, current];
  return [["", t("geo.default")], ...known.map((geo) => [geo, geo.split(",").map(geoName).join(" + ")])];
}

/** The selected department with those above it, each a button. */
function department(path) {
  const parts = path.split("/");
  const crumbs = parts.map((name, index) => {
    const above = parts.slice(0, index + 1).join("/");
    const isLast = index === parts.length - 1;
    return h(
      "li",
      {},
      isLast
        ? h("span", { "aria-current": "true" }, name || t("departments.none"))
        : h("button", { class: "link", onclick: () => navigate({ department_path: above }) }, name),
    );
  });
  return h(
    "nav",
    { class: "crumbs", "aria-label": t("department") },
    h(
      "ol",
      {},
      h("li", {}, h("button", { class: "link", onclick: () => navigate({ department_path: undefined }) }, t("departments.all"))),
      crumbs,
    ),
  );
}
