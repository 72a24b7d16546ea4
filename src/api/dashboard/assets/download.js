/** Files for the reader: tables as CSV, charts as SVG and PNG, exports of the API. Loaded when the first file is requested. */

import { request } from "./api.js";
import { s } from "./dom.js";

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Saves a table as RFC 4180 CSV, with a byte order mark so that Excel detects UTF-8. Text that a spreadsheet would run as a
 * formula gets an apostrophe, as in the exports of the API.
 * @param {Array<Array<string|number|null>>} rows the first one has the names of the columns
 */
export function saveCsv(rows, name) {
  const cell = (value) => {
    if (value == null) return "";
    if (typeof value === "number") return String(value);
    const text = /^'*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = rows.map((row) => row.map(cell).join(",")).join("\r\n");
  save(new Blob(["\uFEFF", text, "\r\n"], { type: "text/csv;charset=utf-8" }), name);
}

/** Saves an export operation of the API, requested with the credentials of the page, under the name that it gives. */
export async function saveExport(path) {
  const response = await request(path);
  const [, name] = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition")) ?? [];
  save(await response.blob(), name ?? "feishu-pulse");
}

const PAINT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "text-anchor"];

/** Space above an exported chart, for the title and the legend, and on its other sides. */
const [HEAD, MARGIN] = [60, 16];

/** A copy of a chart that looks the same without the style sheet of the page, with its title and legend. */
function standalone(figure) {
  const svg = figure.querySelector("svg");
  const copy = svg.cloneNode(true);
  const page = getComputedStyle(document.body);
  const width = svg.viewBox.baseVal.width + 2 * MARGIN;
  const height = svg.viewBox.baseVal.height + HEAD + MARGIN;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `${-MARGIN} ${-HEAD} ${width} ${height}`);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("font-family", page.fontFamily);
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, index) => {
    const computed = getComputedStyle(originals[index]);
    for (const name of PAINT) element.setAttribute(name, computed.getPropertyValue(name));
    element.removeAttribute("class");
  });
  copy.querySelectorAll("[data-cursor]").forEach((element) => element.remove());
  copy.prepend(
    s("rect", { x: -MARGIN, y: -HEAD, width, height, fill: getComputedStyle(figure.closest(".block")).backgroundColor }),
    ...head(figure, page),
  );
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}

/** The title and the legend as SVG. */
function head(figure, { color, fontFamily }) {
  const measure = document.createElement("canvas").getContext("2d");
  measure.font = `12px ${fontFamily}`;
  let x = 0;
  const entries = [...figure.querySelectorAll(".legend span")].map((entry) => {
    const fill = getComputedStyle(entry.firstChild).backgroundColor;
    const group = s(
      "g",
      {},
      s("rect", { x, y: -18, width: 12, height: 4, fill }),
      s("text", { x: x + 18, y: -12, fill: color, "font-size": 12 }, entry.textContent),
    );
    x += 36 + measure.measureText(entry.textContent).width;
    return group;
  });
  return [s("text", { x: 0, y: -36, fill: color, "font-size": 14, "font-weight": 600 }, figure.dataset.title), ...entries];
}

const svgBlob = (text) => new Blob([text], { type: "image/svg+xml" });

/** Saves a chart as an SVG file. */
export function saveSvg(figure, name) {
  save(svgBlob(standalone(figure).text), name);
}

/** Saves a chart as a PNG file, with two pixels for each unit. */
export async function savePng(figure, name) {
  const { text, width, height } = standalone(figure);
  const url = URL.createObjectURL(svgBlob(text));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width * 2, height * 2];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    save(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), name);
  } finally {
    URL.revokeObjectURL(url);
  }
}
