/**
 * The dashboard of feishu-pulse: plain ES modules without a build step, which ask nothing but the public API.
 *
 *   app.js            starts the page, and shows a view for each state of the URL
 *   ├─ state.js       what the page shows, in the query of the URL
 *   ├─ filters.js     the bar above the blocks; changes the state
 *   ├─ view.js        the data of one state; requests each report once
 *   │  └─ api.js      requests: credentials, problems, waits and jobs
 *   ├─ access.js      the access key, and oidc.js the sign-in with the identity provider
 *   ├─ block.js       the frame of a block: state, menu, files. For each block
 *   │                 view → load(view) → data → draw(block, data, view)
 *   └─ glance.js activity.js features.js departments.js retention.js movement.js licences.js clients.js foot.js
 *      ├─ chart.js    lines, columns, bars, heat cells and sparklines as inline SVG
 *      ├─ table.js    tables, those behind charts, and the rows of CSV files
 *      └─ figures.js, definition.js, download.js, days.js
 *   everywhere:       dom.js, format.js, problem.js, storage.js, texts.js with texts.zh.js and texts.en.js
 *
 * A change of the state (button, Back, link) aborts the requests of the old view and makes a new one. Blocks keep their
 * content until the new data is there. A request for days that are not fetched yet gets a job; all blocks show its progress.
 */

import { askForAccess, hasAccess, restoreAccess } from "./access.js";
import activity from "./activity.js";
import { Block } from "./block.js";
import clients from "./clients.js";
import departments from "./departments.js";
import { h, keepFocus, nextTask } from "./dom.js";
import features from "./features.js";
import { filters, pageButtons, showDates } from "./filters.js";
import foot from "./foot.js";
import { duration } from "./format.js";
import glance from "./glance.js";
import licences from "./licences.js";
import movement from "./movement.js";
import retention from "./retention.js";
import { onStateChange, readState } from "./state.js";
import { loadTexts, preferredLanguage, t, useTexts } from "./texts.js";
import { View } from "./view.js";

const MODULES = [glance, activity, features, departments, retention, movement, licences, clients, foot];

let page = null;
let latest = null;
let running = new AbortController();

async function start() {
  await restoreAccess(); // a sign-in restores the URL from before it
  await show(readState());
  onStateChange((next) => show(next));
  for (const event of ["access-changed", "reload-view"]) document.addEventListener(event, () => show(readState(), true));
  document.addEventListener("access-needed", askForAccess);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page?.drawBars(readState()));
}

/** Shows a state: the parts of the page first, then the data as it arrives. */
async function show(state, isReload = false) {
  latest = state;
  const lang = state.lang ?? preferredLanguage();
  const isNew = page?.lang !== lang;
  if (isNew) {
    const texts = await loadTexts(lang);
    if (latest !== state) return;
    useTexts(lang, texts);
    page = buildPage(lang);
  }
  if (selectionOf(state) !== page.shown) page.meta = null;
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  page.drawBars(state);
  if (isNew) await nextTask();
  if (latest !== state) return;
  if (isReload || selectionOf(state) !== page.shown) showView(state);
}

/** What the data depends on, unlike the theme. */
const selectionOf = ({ theme, ...selection }) => JSON.stringify(selection);

function showView(state) {
  running.abort();
  const { signal } = (running = new AbortController());
  const { blocks, progress } = page;
  progress.hide();
  const view = new View(state, signal, (wait) => {
    progress.show(wait);
    blocks.forEach((block) => block.wait());
  });
  const shown = blocks.map((block) => block.show(view));
  view.summary().then(
    ({ meta }) => {
      if (signal.aborted) return;
      page.meta = meta;
      showDates(page.bar, meta);
    },
    () => {}, // the blocks show the error
  );
  page.shown = selectionOf(state);
  Promise.all(shown.slice(0, 2)).then(() => mark("dashboard-usable"));
  Promise.all(shown).then(() => {
    if (signal.aborted) return;
    mark("dashboard-complete");
    progress.hide();
  });
}

function mark(name) {
  performance.mark(name);
  performance.measure(`${name}-time`, { start: 0, end: name });
}

function buildPage(lang) {
  document.title = t("title");
  const blocks = MODULES.map((module) => new Block(module));
  const progress = buildProgress();
  const [bar, buttons] = [h("section", { class: "filters", "aria-label": t("filters") }), h("div", { class: "page-buttons" })];
  document.querySelector("#page").replaceChildren(
    h("a", { class: "skip", href: "#blocks" }, t("skip")),
    h("header", { class: "top" }, h("div", { class: "brand" }, h("h1", {}, t("title")), h("p", {}, t("subtitle"))), buttons),
    bar,
    progress.element,
    h(
      "main",
      { id: "blocks", tabindex: "-1" },
      blocks.map(({ element }) => element),
    ),
  );
  const built = { lang, blocks, progress, bar, shown: null, meta: null };
  built.drawBars = (state) => {
    keepFocus(bar, () => bar.replaceChildren(...filters(state)));
    if (built.meta) showDates(bar, built.meta);
    keepFocus(buttons, () => buttons.replaceChildren(...pageButtons(state, hasAccess())));
  };
  return built;
}

/** The bar that shows how far a job is, or when the next attempt is. */
function buildProgress() {
  const bar = h("progress", { "aria-label": t("waiting") });
  const text = h("span");
  const element = h("section", { class: "progress", hidden: true, "data-progress": "", "aria-label": t("waiting") }, bar, text);
  const show = ({ job, seconds }) => {
    element.hidden = false;
    text.textContent = job ? progressText(job) : t("waiting_retry", { time: duration(seconds) });
    if (job?.days.total) [bar.max, bar.value] = [job.days.total, job.days.done];
  };
  return { element, show, hide: () => (element.hidden = true) };
}

/** The progress of a job in words. */
function progressText({ days, seconds_left: left }) {
  const parts = [days.total ? t("progress_days", days) : t("waiting_start")];
  if (left) parts.push(t("time_left", { time: duration(left) }));
  return parts.join(t("separator"));
}

start();
