// Opens the dashboard in a browser, and records what it requests and logs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const BLOCKS = ["glance", "activity", "features", "departments", "retention", "movement", "licences", "clients", "foot"];

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS });

/**
 * A page of its own profile. `faults` collects errors of scripts, and requests to other origins than the allowed ones. The first of these
 * is that of the dashboard; what pages of others do is not its fault.
 */
export async function openPage(browser, origins, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  await context.addInitScript(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => globalThis.longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
      buffered: true,
    });
  });
  const page = await context.newPage();
  const faults = [];
  const isOwn = () => [origins[0], "null"].includes(new URL(page.url()).origin);
  page.on("pageerror", (error) => isOwn() && faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // The browser logs each refused request; the page shows what was refused.
    const isRefusal = /^Failed to load resource: the server responded with a status of (401|403|404|429|50[234])/.test(message.text());
    if (isOwn() && message.type() === "error" && !isRefusal) faults.push(`console: ${message.text()}`);
  });
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (isOwn() && ["http:", "https:", "ws:", "wss:"].includes(url.protocol) && !origins.includes(url.origin)) faults.push(`request: ${url}`);
  });
  return { page, context, faults };
}

/** How often the page has completed a view since it was loaded. */
const completed = (page) => page.evaluate(() => performance.getEntriesByName("dashboard-complete").length);

/** Waits until the page has completed its first view, or one more than before the action; returns the states of the blocks. */
export async function settled(page, action = null) {
  const before = action ? await completed(page) : 0;
  await action?.();
  const isComplete = (count) => performance.getEntriesByName("dashboard-complete").length > count;
  await page.waitForFunction(isComplete, before, { timeout: 90_000 });
  const states = await page.$$eval("[data-block]", (blocks) => blocks.map(({ dataset }) => [dataset.block, dataset.state]));
  return Object.fromEntries(states);
}

/** Opens everything that can be opened: tables behind charts, departments, the people without use. */
export async function openEverything(page) {
  await page.$$eval("[data-block] .body details:not([open]) > summary", (summaries) => summaries.forEach((summary) => summary.click()));
  await page.evaluate(() => {
    const closed = () => document.querySelector("[data-block=departments] button[aria-expanded=false]");
    for (let toggle = closed(); toggle; toggle = closed()) toggle.click();
  });
  const isLoaded = () => {
    const people = document.querySelector("[data-people]");
    const text = people?.querySelector("p")?.textContent ?? "";
    return !people || people.querySelector("table") != null || (text !== "" && !text.endsWith("…"));
  };
  await page.waitForFunction(isLoaded, null, { timeout: 30_000 });
}

/** Every figure on the page: its block, its name, its value and text, and the row that it is in. */
export const figuresOn = (page) =>
  page.$$eval("[data-block] [data-figure][data-value]", (elements) =>
    elements.map((element) => {
      const row = element.closest("tbody tr");
      return {
        block: element.closest("[data-block]").dataset.block,
        name: element.dataset.figure,
        value: element.dataset.value,
        previous: element.dataset.previous,
        text: element.textContent,
        row: row ? row.sectionRowIndex : null,
        department: row?.dataset.department ?? null,
      };
    }),
  );

/** Every text and every value of an attribute in the document. */
export const wordsOn = (page) =>
  page.evaluate(() => {
    const words = [];
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) words.push(node.data);
      else words.push(...[...node.attributes].map(({ value }) => value));
    }
    return words.join("\n");
  });

/** Fails with the rules that the page violates. */
export async function assertAccessible(page, name) {
  await page.evaluate(`${axe};undefined`);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).slice(0, 3).join(", ")}`);
  assert.deepEqual(found, [], `axe, ${name}`);
}

/** The number of pages of a PDF that Chromium has written. */
export const pagesOf = (pdf) => pdf.toString("latin1").match(/\/Type\s*\/Page\b(?!s)/g).length;
