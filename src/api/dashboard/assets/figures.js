/** What several blocks show alike: the features, changes of figures, and what stands for a figure that is null. */

import { h } from "./dom.js";
import { change, count } from "./format.js";
import { t } from "./texts.js";

/** The features in the order of the API. */
export const FEATURES = ["im", "docs", "cal", "vc", "search", "email", "task"];

/** The change of a figure, with its direction as a sign and as a colour. */
export function changeMark(now, before, isShare) {
  const difference = change(now, before, isShare);
  if (!difference) return h("span", { class: "muted", title: t("not_comparable") }, t("no_change"));
  const { text, direction } = difference;
  return h("span", { class: `change ${["down", "same", "up"][direction + 1]}` }, `${["▼", "＝", "▲"][direction + 1]} ${text}`);
}

/** Stands for a withheld figure; below the block is a note with the same sign. */
export const WITHHELD = "∗";

/** Why figures are withheld; null if none of the answer is. */
export const withheldText = ({ withheld_below: people }) => (people ? t("withheld", { n: count(people) }) : null);

/**
 * What stands for the null figures of a row. If figures of the answer are withheld, all null ones are marked so, but for rows
 * without a date that counts and for periods that are not complete.
 */
export const lacking = (meta, row = {}) =>
  meta.withheld_below && row.days_counted !== 0 && row.complete !== false ? WITHHELD : "–";

/** A format with another text for null. */
export const orElse = (format, none) => (value) => (value == null ? none : format(value));
