/**
 * Charts as inline SVG: lines and columns over time with a cursor for pointer and keyboard, horizontal bars, heat cells, and
 * sparklines. Each is drawn at its real width, and again when the width changes. The numbers are in the table behind it.
 */

import { mean } from "./days.js";
import { h, newId, s, style } from "./dom.js";
import { count, day } from "./format.js";
import { t } from "./texts.js";

/**
 * @typedef {Object} Series
 * @property {string} name
 * @property {string} tone class that sets the colour: `tone-1` to `tone-4`, `tone-past`
 * @property {Array<number|null>} values one for each label; null is a gap
 */

const AXIS = { left: 46, right: 12, top: 10, bottom: 24 };

/**
 * Lines over time.
 * @param {Object} chart
 * @param {string} chart.label what the chart shows
 * @param {string[]} chart.dates
 * @param {Series[]} chart.series
 * @param {function(number|null, number): string} chart.format text of a value, by the index of its date
 * @param {function(number): string} chart.describe text of a date, by its index
 * @param {Array<string|null>} [chart.bands] `weekend`, `uncertain`, `withheld` or null for each date
 */
export function lineChart(chart) {
  const lines = (svg, { x, y }) => {
    for (const { values, tone } of chart.series) {
      svg.append(s("path", { class: `line ${tone}`, d: linePath(values, x, y) }));
      for (const index of isolatedPoints(values)) svg.append(s("circle", { class: `dot ${tone}`, cx: x(index), cy: y(values[index]), r: 3 }));
    }
  };
  return timeChart({ ...chart, least: 0, most: maximum(chart.series.flatMap(({ values }) => values)) }, lines);
}

/**
 * Columns over time: series with `below` are drawn below the axis, the others above it, stacked. The sign of a figure that is null
 * is above the column. Parameters as `lineChart`.
 */
export function columnChart(chart) {
  const sums = (isBelow) =>
    chart.dates.map((_, index) =>
      chart.series.filter(({ below }) => !!below === isBelow).reduce((sum, { values }) => sum + (values[index] ?? 0), 0),
    );
  const columns = (svg, { x, y, step }) => {
    const width = Math.min(36, step * 0.6);
    chart.dates.forEach((_, index) => {
      const isLacking = chart.series.some(({ values }) => values[index] == null);
      const ends = { true: 0, false: 0 };
      for (const { values, tone, below } of chart.series) {
        if (values[index] == null) continue;
        const [from, to] = [ends[!!below], ends[!!below] + (below ? -1 : 1) * values[index]];
        ends[!!below] = to;
        const top = y(Math.max(from, to));
        svg.append(s("rect", { class: `area ${tone}`, x: x(index) - width / 2, y: top, width, height: y(Math.min(from, to)) - top }));
      }
      if (isLacking) svg.append(s("text", { x: x(index), y: y(ends.false) - 4, "text-anchor": "middle" }, chart.format(null, index)));
    });
  };
  return timeChart({ ...chart, least: -maximum(sums(true)), most: maximum(sums(false)) }, columns);
}

/** The frame of a chart over time: axes, bands, legend and cursor. */
function timeChart(chart, drawValues) {
  const { dates, series, label } = chart;
  const scale = niceScale(chart.least, chart.most);
  const tip = h("div", { class: "tip", hidden: true });
  const spoken = h("div", { class: "visually-hidden", role: "status" });
  const plot = h("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${label}. ${t("chart_keys")}` });
  let geometry = null;

  const draw = (width) => {
    const height = width < 480 ? 190 : 250;
    const inner = { width: width - AXIS.left - AXIS.right, height: height - AXIS.top - AXIS.bottom };
    const step = inner.width / dates.length;
    const x = (index) => AXIS.left + step * (index + 0.5);
    const y = (value) => AXIS.top + inner.height * (1 - (value - scale.least) / (scale.most - scale.least));
    geometry = { x, y, step, width, height };
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    drawBands(svg, chart.bands ?? [], geometry);
    for (const tick of scale.ticks) {
      svg.append(s("line", { class: tick ? "grid" : "grid zero", x1: AXIS.left, x2: width - AXIS.right, y1: y(tick), y2: y(tick) }));
      svg.append(s("text", { x: AXIS.left - 8, y: y(tick) + 4, "text-anchor": "end" }, count(Math.abs(tick))));
    }
    for (const index of labelled(dates.length, inner.width / 72)) {
      svg.append(s("text", { x: Math.min(x(index), width - 26), y: height - 6, "text-anchor": "middle" }, day(dates[index])));
    }
    drawValues(svg, geometry);
    svg.append(s("g", { "data-cursor": "" }));
    return svg;
  };

  const point = (index) => {
    const cursor = plot.querySelector("[data-cursor]");
    if (index == null || !cursor) return hide(tip, cursor);
    const at = geometry.x(index);
    cursor.replaceChildren(s("line", { class: "cursor", x1: at, x2: at, y1: AXIS.top, y2: geometry.height - AXIS.bottom }));
    tip.replaceChildren(
      h("strong", {}, chart.describe(index)),
      ...series.map(({ name, tone, values }) => h("div", {}, swatch(tone), h("span", {}, name), h("b", {}, chart.format(values[index], index)))),
    );
    tip.hidden = false;
    const left = at + tip.offsetWidth + 16 > geometry.width ? at - tip.offsetWidth - 12 : at + 12;
    style(style(tip, "left", `${Math.max(0, left)}px`), "top", "8px");
    return null;
  };
  addCursor(plot, {
    length: dates.length,
    point,
    speak: (index) => {
      spoken.textContent = [chart.describe(index), ...series.map(({ name, values }) => `${name} ${chart.format(values[index], index)}`)].join(
        ", ",
      );
    },
    indexAt: (at) => Math.round((at - geometry.x(0)) / geometry.step),
  });
  redrawn(plot, draw, tip);
  return h("figure", { class: "chart", "data-title": label }, legend(series, chart.bands), plot, spoken);
}

/** Moves a cursor by pointer and by keyboard. */
function addCursor(plot, { length, point, speak, indexAt }) {
  let current = null;
  const move = (index) => point((current = index == null ? null : Math.min(Math.max(index, 0), length - 1)));
  plot.addEventListener("pointermove", (event) => {
    move(indexAt(event.clientX - plot.getBoundingClientRect().left));
  });
  plot.addEventListener("pointerleave", () => move(null));
  plot.addEventListener("blur", () => move(null));
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") return move(null);
    if (!(event.key in steps)) return null;
    event.preventDefault();
    const start = current ?? (steps[event.key] > 0 ? -1 : length);
    move(start + steps[event.key]);
    return speak(current);
  });
}

function hide(tip, cursor) {
  tip.hidden = true;
  cursor?.replaceChildren();
}

/** Draws into the element at its width, and again when the width changes. */
function redrawn(element, draw, ...others) {
  let drawn = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.round(contentRect.width);
    if (width < 40 || width === drawn) return;
    drawn = width;
    element.replaceChildren(draw(width), ...others);
  }).observe(element);
}

function drawBands(svg, bands, { x, step, height }) {
  const pattern = newId("hatch");
  svg.append(
    s(
      "defs",
      {},
      s(
        "pattern",
        { id: pattern, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("line", { class: "hatch", x1: 0, x2: 0, y1: 0, y2: 6 }),
      ),
    ),
  );
  bands.forEach((kind, index) => {
    if (!kind || bands[index - 1] === kind) return;
    const end = bands.findIndex((other, later) => later > index && other !== kind);
    const [left, right] = [x(index) - step / 2, x((end < 0 ? bands.length : end) - 1) + step / 2];
    const attributes = kind === "weekend" ? { class: "weekend" } : { fill: `url(#${pattern})` };
    svg.append(s("rect", { ...attributes, x: left, y: AXIS.top, width: right - left, height: height - AXIS.top - AXIS.bottom }));
  });
}

function legend(series, bands = []) {
  const kinds = ["weekend", "uncertain", "withheld"].filter((kind) => bands.includes(kind));
  return h(
    "div",
    { class: "legend" },
    series.map(({ name, tone }) => h("span", {}, swatch(tone), name)),
    kinds.map((kind) => h("span", {}, swatch(kind), t(`band.${kind}`))),
  );
}

const swatch = (tone) => h("i", { class: `swatch ${tone}` });

function linePath(values, x, y) {
  let pen = "M";
  return values
    .map((value, index) => {
      if (value == null) {
        pen = "M";
        return "";
      }
      const step = `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

/** Indexes of values between two gaps, which a line would not show. */
const isolatedPoints = (values) =>
  [...values.keys()].filter((index) => values[index] != null && values[index - 1] == null && values[index + 1] == null);

const maximum = (values) => Math.max(0, ...values.filter((value) => value != null));

/** Round numbers for an axis of counts that contains 0. */
function niceScale(least, most) {
  const rough = Math.max(1, (most - least) / 4);
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const [first, last] = [Math.floor(least / unit), Math.max(1, Math.ceil(most / unit))];
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => (first + index) * unit);
  return { least: first * unit, most: last * unit, ticks };
}

/** Indexes of the dates that get a label, in equal distances. */
function labelled(length, room) {
  const rough = Math.max(1, Math.ceil(length / Math.max(1, room)));
  const step = rough > 2 && rough <= 7 ? 7 : rough;
  return [...Array(length).keys()].filter((index) => index % step === 0);
}

/**
 * Horizontal bars.
 * @param {string} label what the chart shows
 * @param {Array<{name: string, value: number|null, text: string, tone?: string, tick?: number}>} bars `tick`: earlier value
 * @param {number} [most] the value of a full bar; default: the largest one
 */
export function barChart(label, bars, most) {
  const full = most || maximum(bars.flatMap(({ value, tick }) => [value, tick])) || 1;
  const plot = h("div", {
    class: "plot",
    role: "img",
    "aria-label": `${label}: ${bars.map(({ name, text }) => `${name} ${text}`).join(", ")}`,
  });
  const [row, ink] = [30, 14];
  redrawn(plot, (width) => {
    const left = Math.min(width * 0.4, 12 + widest(bars.map(({ name }) => name)));
    const right = 12 + widest(bars.map(({ text }) => text));
    const x = (value) => left + ((width - left - right) * value) / full;
    const svg = s("svg", { viewBox: `0 0 ${width} ${bars.length * row}`, "aria-hidden": "true" });
    bars.forEach(({ name, value, text, tone = "tone-1", tick }, index) => {
      const top = index * row + (row - ink) / 2;
      svg.append(
        s("text", { x: 0, y: top + ink - 2 }, name),
        s("rect", { class: "track", x: left, y: top, width: width - left - right, height: ink, rx: 2 }),
        s("rect", { class: `area ${tone}`, x: left, y: top, width: Math.max(0, x(value ?? 0) - left), height: ink, rx: 2 }),
      );
      if (tick != null) svg.append(s("line", { class: "tick", x1: x(tick), x2: x(tick), y1: top - 4, y2: top + ink + 4 }));
      svg.append(s("text", { class: "value", x: width, y: top + ink - 2, "text-anchor": "end" }, text));
    });
    return svg;
  });
  return h("figure", { class: "chart", "data-title": label }, plot);
}

/** Width in pixels that the longest text needs; Chinese characters are twice as wide as Latin letters. */
const widest = (texts) => Math.max(...texts.map((text) => [...text].reduce((sum, letter) => sum + (letter > "\u2e80" ? 13 : 7.2), 0)));

/**
 * Heat cells: rows of values between 0 and 1.
 * @param {string} label what the chart shows
 * @param {string[]} columns headings
 * @param {Array<{name: string, cells: Array<{value: number|null, text: string, isOpen: boolean}|null>}>} rows `isOpen`: not complete
 */
export function heatChart(label, columns, rows) {
  const plot = h("div", { class: "plot", role: "img", "aria-label": label });
  redrawn(plot, (available) => heatCells(columns, rows, available));
  return h("figure", { class: "chart sideways", "data-title": label, tabindex: "0", role: "group", "aria-label": label }, plot);
}

/** Heat cells that are drawn once, for files. Parameters as `heatChart`. */
export const heatPicture = (label, columns, rows) => h("figure", { class: "chart", "data-title": label }, heatCells(columns, rows, 1000));

function heatCells(columns, rows, available) {
  const left = 12 + widest(rows.map(({ name }) => name));
  const row = 30;
  const cell = Math.min(72, Math.max(44, (available - left) / columns.length));
  const [width, height] = [left + cell * columns.length, row * (rows.length + 1)];
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  columns.forEach((name, index) => svg.append(s("text", { x: left + cell * (index + 0.5), y: 19, "text-anchor": "middle" }, name)));
  rows.forEach(({ name, cells }, line) => {
    const top = row * (line + 1);
    svg.append(s("text", { x: 0, y: top + 20 }, name));
    cells.forEach((content, index) => {
      if (!content) return;
      const at = left + cell * index;
      const opacity = heat(content.value);
      svg.append(
        s(
          "g",
          {},
          s("rect", { class: "heat", x: at + 1, y: top + 1, width: cell - 2, height: row - 2, rx: 3, "fill-opacity": opacity }),
          content.isOpen && s("rect", { class: "open", x: at + 2, y: top + 2, width: cell - 4, height: row - 4, rx: 3 }),
          s("text", { class: "value", x: at + cell / 2, y: top + 20, "text-anchor": "middle" }, content.text),
        ),
      );
    });
  });
  return svg;
}

/** Opacity of the accent colour for a share. Text on it stays readable in both themes. */
export const heat = (share) => (0.05 + 0.43 * Math.min(1, Math.max(0, share ?? 0))).toFixed(3);

/** Number of days from which a sparkline shows weeks. */
const LONG = 120;

/** Means of seven days each, so that weekdays do not hide the course of a long range. */
const weekly = (days) => days.flatMap((_, index) => (index % 7 ? [] : [mean(days.slice(index, index + 7))]));

/** A small line without axes, for the size of a word or a card. */
export function sparkline(label, days) {
  const values = days.length > LONG ? weekly(days) : days;
  const [width, height] = [120, 32];
  const shown = values.filter((value) => value != null);
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const x = (index) => (index / Math.max(1, values.length - 1)) * width;
  const y = (value) => 2 + (height - 4) * (most > least ? 1 - (value - least) / (most - least) : 0.5);
  return s(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("path", { class: "line tone-1", d: linePath(values, x, y), "vector-effect": "non-scaling-stroke" }),
  );
}
