/** Block "departments": a folded tree with figures and heat by feature. Rows below a department are made when it is opened. */

import { heat, heatPicture } from "./chart.js";
import { h, style } from "./dom.js";
import { FEATURES, WITHHELD } from "./figures.js";
import { count, percent, percentRounded } from "./format.js";
import { navigate } from "./state.js";
import { scrollable } from "./table.js";
import { t } from "./texts.js";

/** Most rows that a search lists. */
const MOST_FOUND = 100;

export default {
  id: "departments",

  async load(view) {
    const { data, meta } = await view.report("departments", { trailing: "none" });
    return { items: data, meta };
  },

  draw(block, { items }) {
    if (!items.length) return false;
    const tree = new DepartmentTree(items);
    block.content(tree.element);
    block.files({ columns: CSV_COLUMNS, rows: items, charts: [() => tree.picture()] });
    return true;
  },
};

const COLUMNS = [
  { key: "users", format: count },
  { key: "active_rate_per_day", format: percent },
  { key: "regular_rate", format: percent },
  ...FEATURES.map((feature) => ({ key: `features.${feature}.regular_rate`, feature, format: percentRounded })),
];

const valueOf = (item, { key, feature }) => (feature ? item.features?.[feature]?.regular_rate : item[key]) ?? null;

const CSV_COLUMNS = [
  { key: "department_path", value: (item) => item.department_path },
  { key: "withheld", value: (item) => String(item.withheld) },
  ...["users", "people", "activated", "active", "active_per_day", "active_rate_per_day", "regular", "regular_rate"].map((key) => ({
    key,
    value: (item) => item[key],
  })),
  ...FEATURES.flatMap((feature) =>
    ["active_per_day", "regular", "regular_rate"].map((key) => ({
      key: `${feature}_${key}`,
      value: (item) => item.features?.[feature]?.[key],
    })),
  ),
];

class DepartmentTree {
  #children = new Map();
  #open = new Set();
  #items;
  #sort = { column: COLUMNS[0], isDescending: true };
  #search = "";
  #shown = [];
  #body = h("tbody");
  #head = h("tr");
  #found = h("p", { class: "muted", role: "status" });

  constructor(items) {
    this.#items = items;
    const known = new Set(items.map((item) => item.department_path));
    for (const item of items) {
      const parent = parentPath(item.department_path, known);
      if (!this.#children.has(parent)) this.#children.set(parent, []);
      this.#children.get(parent).push(item);
    }
    const roots = this.#children.get(null);
    if (roots.length === 1) this.#open.add(roots[0].department_path);
    const search = h("input", {
      type: "search",
      "aria-label": t("departments.search"),
      placeholder: t("departments.search"),
      oninput: (event) => {
        this.#search = event.target.value.trim().toLowerCase();
        this.#draw();
      },
    });
    const table = h(
      "table",
      { class: "departments-table" },
      h("caption", { class: "visually-hidden" }, t("departments.title")),
      h("thead", {}, this.#head),
      this.#body,
    );
    this.element = h(
      "div",
      {},
      h("div", { class: "bar" }, search, this.#found),
      scrollable(t("departments.title"), table),
    );
    this.#draw();
  }

  #draw() {
    this.#head.replaceChildren(h("th", { scope: "col" }, t("department")), ...COLUMNS.map((column) => this.#heading(column)));
    this.#shown = this.#search ? this.#matches() : this.#level(null, 0);
    this.#body.replaceChildren(...this.#shown.map(({ item, depth }) => this.#row(item, depth)));
  }

  /** The rows that are shown, as heat cells. */
  picture() {
    const columns = COLUMNS.filter(({ feature }) => feature);
    const rows = this.#shown.map(({ item, depth }) => ({
      name: `${"\u3000".repeat(depth)}${this.#nameOf(item)} · ${textOf(item, COLUMNS[0])}`,
      cells: columns.map((column) => ({ value: valueOf(item, column), text: textOf(item, column) })),
    }));
    return heatPicture(
      t("departments.picture"),
      columns.map(({ feature }) => t(`feature.${feature}`)),
      rows,
    );
  }

  /** The rows that the search finds. */
  #matches() {
    const found = this.#items.filter(({ department_path: path, department_name: name }) =>
      `${path}\n${name ?? ""}`.toLowerCase().includes(this.#search),
    );
    this.#found.textContent = t("departments.found", { n: count(found.length) });
    return this.#sorted(found)
      .slice(0, MOST_FOUND)
      .map((item) => ({ item, depth: 0 }));
  }

  /** The rows below a department, with those below open ones. */
  #level(parent, depth) {
    this.#found.textContent = "";
    return this.#sorted(this.#children.get(parent) ?? []).flatMap((item) => [
      { item, depth },
      ...(this.#open.has(item.department_path) ? this.#level(item.department_path, depth + 1) : []),
    ]);
  }

  #sorted(items) {
    const { column, isDescending } = this.#sort;
    const sign = isDescending ? -1 : 1;
    return items.toSorted(
      (one, other) =>
        sign * ((valueOf(one, column) ?? -1) - (valueOf(other, column) ?? -1)) || one.department_path.localeCompare(other.department_path),
    );
  }

  #heading(column) {
    const isSorted = this.#sort.column === column;
    const order = this.#sort.isDescending ? "descending" : "ascending";
    const name = t(column.feature ? `feature.${column.feature}` : `figure.${column.key}`);
    const click = () => {
      this.#sort = { column, isDescending: isSorted ? !this.#sort.isDescending : true };
      this.#draw();
      this.#head.querySelector("[aria-sort] button").focus();
    };
    return h("th", { scope: "col", class: "number", "aria-sort": isSorted ? order : null }, h("button", { onclick: click }, name));
  }

  /** In the result of a search, the whole path. */
  #nameOf({ department_path: path, department_name: name }) {
    return path === "" ? t("departments.none") : this.#search ? path : name || path;
  }

  #row(item, depth) {
    const { department_path: path } = item;
    const filter = h("button", { class: "link", title: path, onclick: () => navigate({ department_path: path }) }, this.#nameOf(item));
    const heading = h("th", { scope: "row" }, h("span", { class: "department" }, this.#toggle(item), filter));
    style(heading, "--depth", depth);
    return h(
      "tr",
      { "data-department": path },
      heading,
      COLUMNS.map((column) => cell(item, column)),
    );
  }

  #toggle({ department_path: path, department_name: name }) {
    if (this.#search || !this.#children.has(path)) return h("span", { class: "toggle" });
    const isOpen = this.#open.has(path);
    const click = () => {
      if (isOpen) this.#open.delete(path);
      else this.#open.add(path);
      this.#draw();
      this.#body.querySelector(`[data-department="${CSS.escape(path)}"] .toggle`).focus();
    };
    return h(
      "button",
      { class: "toggle", "aria-expanded": String(isOpen), "aria-label": name || path, onclick: click },
      isOpen ? "▾" : "▸",
    );
  }
}

/** Withheld figures are null, and those of the same department that are not small are there. */
function textOf(item, column) {
  const value = valueOf(item, column);
  return value == null && item.withheld ? WITHHELD : column.format(value);
}

function cell(item, column) {
  const value = valueOf(item, column);
  const td = h(
    "td",
    { class: column.feature ? "number heat" : "number", "data-figure": column.key, "data-value": value },
    textOf(item, column),
  );
  return column.feature ? style(td, "--heat", heat(value)) : td;
}

/** The path of the nearest department above that is in the report; null at the top. */
function parentPath(path, known) {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (known.has(path.slice(0, end))) return path.slice(0, end);
  }
  return null;
}
