/** Files for the reader: tables as CSV, charts as SVG and PNG, exports of the API. */

import { request } from "./api.js";

/** Saves a blob under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * A table as RFC 4180 CSV, with a byte order mark so that Excel detects UTF-8. Text that a spreadsheet would run as a
 * formula gets an apostrophe, as in the exports of the API.
 * @param {Array<Array<string|number|null>>} rows the first one has the names of the columns
 */
export function csvBlob(rows) {
  const cell = (value) => {
    if (value == null) return "";
    if (typeof value === "number") return String(value);
    const text = /^'*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = rows.map((row) => row.map(cell).join(",")).join("\r\n");
  return new Blob(["\uFEFF", text, "\r\n"], { type: "text/csv;charset=utf-8" });
}

/** An export operation of the API, requested with the credentials of the page. */
export async function saveExport(path, name) {
  save(await (await request(path)).blob(), name);
}

const PAINT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "text-anchor"];

/** A copy of a chart that looks the same without the style sheet of the page. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [{ width, height }, page] = [svg.viewBox.baseVal, getComputedStyle(document.body)];
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
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
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  background.setAttribute("width", width);
  background.setAttribute("height", height);
  background.setAttribute("fill", getComputedStyle(document.documentElement).getPropertyValue("--surface"));
  copy.prepend(background);
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}

/** A chart as an SVG file. */
export function svgBlob(svg) {
  return new Blob([standalone(svg).text], { type: "image/svg+xml" });
}

/** A chart as a PNG file, with two pixels for each unit. */
export async function pngBlob(svg) {
  const { text, width, height } = standalone(svg);
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width * 2, height * 2];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}
