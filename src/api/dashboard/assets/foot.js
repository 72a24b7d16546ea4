/** Block "about these figures": how fresh the data is, which days do not count, and where the definitions are. */

import { h } from "./dom.js";
import { count, day, instant, range } from "./format.js";
import { definitionsUrl, t } from "./texts.js";

const LISTED = ["pending", "late", "missing", "expired"];
/** Most dates that are listed; the others are a number. */
const MOST_DATES = 10;

export default {
  id: "foot",

  async load(view) {
    const { meta } = await view.summary();
    return { meta };
  },

  draw(block, { meta }) {
    const { days } = meta;
    const item = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    block.content(
      h(
        "dl",
        { class: "facts" },
        item(t("foot.as_of"), h("span", { "data-figure": "data_as_of", "data-value": meta.data_as_of }, instant(meta.data_as_of))),
        item(t("foot.range"), `${range(meta.start_date, meta.end_date)} · ${meta.geos.join(", ")}`),
        item(t("foot.final"), number("final", days.final)),
        days.provisional > 0 && item(t("foot.provisional"), number("provisional", days.provisional)),
        days.empty > 0 && item(t("foot.empty"), number("empty", days.empty)),
        LISTED.filter((state) => days[state].length).map((state) =>
          item(t(`foot.${state}`), number(state, days[state].length), ` · ${dates(days[state])}`),
        ),
      ),
      meta.notes.length > 0 && [
        h("p", { class: "muted" }, t("foot.notes")),
        h(
          "ul",
          { class: "notes", lang: "en" },
          meta.notes.map((note) => h("li", {}, note)),
        ),
      ],
      h("p", {}, link(definitionsUrl(), t("foot.definitions")), " · ", link("docs/", t("foot.api"))),
    );
    const rows = ["final", "provisional", "empty", ...LISTED].map((state) => ({
      state,
      value: Array.isArray(days[state]) ? days[state].length : days[state],
    }));
    block.files({ columns: COLUMNS, rows });
    return true;
  },
};

const COLUMNS = [
  { key: "state", value: ({ state }) => state },
  { key: "days", value: ({ value }) => value },
];

const number = (key, value) => h("span", { "data-figure": `days.${key}`, "data-value": value }, count(value));

const link = (href, text) => h("a", { href, target: "_blank" }, text);

function dates(days) {
  const listed = days.slice(0, MOST_DATES).map((item) => day(item.date ?? item));
  return listed.join(t("comma")) + (days.length > MOST_DATES ? " …" : "");
}
