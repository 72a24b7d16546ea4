/** Tables: one description gives the table on the page, the one behind a chart, and the CSV. */

import { h } from "./dom.js";
import { orElse } from "./figures.js";
import { t } from "./texts.js";

/**
 * @typedef {Object} Column
 * @property {string} key name of the column in CSV, and `data-figure` of its cells
 * @property {string} label heading
 * @property {function(Object): (string|number|null)} value raw value of a row
 * @property {function(*): string} [format] text of a value; columns with a format are numbers
 */

/** The table as an element. The first column heads its rows. `none` is the text of the null figures of a row. */
export function table(caption, columns, rows, none = () => "–") {
  const cell = (row, { key, value, format }, index) => {
    const raw = value(row);
    const attributes = { "data-figure": key, "data-value": format ? raw : null, class: format ? "number" : null };
    return h(index ? "td" : "th", index ? attributes : { ...attributes, scope: "row" }, format ? orElse(format, none(row))(raw) : raw);
  };
  return h(
    "table",
    {},
    h("caption", { class: "visually-hidden" }, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        columns.map(({ label, format }) => h("th", { scope: "col", class: format ? "number" : null }, label)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          columns.map((column, index) => cell(row, column, index)),
        ),
      ),
    ),
  );
}

/** A table in a region that scrolls sideways on narrow screens, also by keyboard. */
export function scrollable(label, content) {
  return h("div", { class: "scroll", role: "group", "aria-label": label, tabindex: "0" }, content);
}

/** The table behind a chart, made when it is opened. */
export function tableBehind(caption, columns, rows, none) {
  const details = h("details", { class: "behind" }, h("summary", {}, t("table_behind")));
  const open = () => details.children.length === 1 && details.append(scrollable(caption, table(caption, columns, rows, none)));
  details.addEventListener("toggle", open);
  return details;
}

/** The rows of the CSV, the names of the columns first. */
export function csvRows(columns, rows) {
  return [columns.map(({ key }) => key), ...rows.map((row) => columns.map(({ value }) => value(row)))];
}
