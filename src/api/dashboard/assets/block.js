/** The frame of a block: heading, explanation, state, and the menu with its files. */

import { ApiError } from "./api.js";
import { definition } from "./definition.js";
import { h, keepFocus, newId, nextTask } from "./dom.js";
import { WITHHELD, withheldText } from "./figures.js";
import { problemText } from "./problem.js";
import { csvRows } from "./table.js";
import { navigate } from "./state.js";
import { hasText, t } from "./texts.js";

/**
 * @typedef {Object} BlockModule
 * @property {string} id
 * @property {function(View): Promise<{meta: Object}>} load requests the data; `meta` is that of the API
 * @property {function(View): Promise<{meta: Object}>} [loadAll] requests the same and what takes longer, to be drawn a second time
 * @property {function(Block, Object, View): boolean} draw shows the data; false if there is nothing to show
 */

export class Block {
  #module;
  #body = h("div", { class: "body" });
  #menu = h("div", { class: "menu" });
  #run = 0;

  /** @param {BlockModule} module */
  constructor(module) {
    this.#module = module;
    const heading = newId("block");
    this.element = h(
      "section",
      { class: `block ${module.id}`, "data-block": module.id, "aria-labelledby": heading },
      h(
        "header",
        {},
        h("div", { class: "heading" }, h("h2", { id: heading }, t(`${module.id}.title`)), definition(module.id)),
        this.#menu,
        hasText(`${module.id}.lead`) && h("p", { class: "lead" }, t(`${module.id}.lead`)),
      ),
      this.#body,
    );
  }

  /** Loads and draws the data of a view. A later call takes the place of an earlier one. */
  async show(view) {
    const run = ++this.#run;
    this.#setState("loading");
    if (!this.#body.hasChildNodes()) this.#body.replaceChildren(h("div", { class: "message" }, t("waiting")));
    let isDrawn = false;
    try {
      for (const load of [this.#module.load, this.#module.loadAll].filter(Boolean)) {
        const data = await load(view);
        await nextTask();
        if (run !== this.#run) return;
        isDrawn = this.#draw(data, view);
      }
    } catch (error) {
      if (run !== this.#run || error.name === "AbortError") return;
      if (!(error instanceof ApiError)) console.error(error);
      if (isDrawn) this.#body.append(h("p", { class: "muted" }, problemText(error)));
      else this.#fail(error);
    }
  }

  /** Shows the data, or why there is none. Returns whether there is some. */
  #draw(data, view) {
    const withheld = withheldText(data.meta);
    const reason = `${this.#module.id}.empty`;
    if (!this.#module.draw(this, data, view)) {
      this.#message("empty", withheld ?? t(hasText(reason) ? reason : "empty"));
      return false;
    }
    if (withheld) this.#body.append(h("p", { class: "muted", "data-withheld": "" }, `${WITHHELD} ${withheld}`));
    this.#setState("ready");
    return true;
  }

  /** Replaces the content. */
  content(...nodes) {
    keepFocus(this.#body, () => this.#body.replaceChildren(...nodes.flat().filter(Boolean)));
  }

  /** Shows that days are being fetched, unless the data is there already. */
  wait() {
    if (this.element.dataset.state === "loading") this.#message("waiting", t("waiting"));
  }

  /**
   * Offers the files of the block: a table as CSV, charts as pictures, and further buttons. A function among the charts makes one
   * for the file.
   */
  files({ columns, rows, charts = [], more = [] }) {
    const name = `feishu-pulse-${this.#module.id}`;
    const pictures = (chart, index) => {
      const [title, suffix] = charts.length > 1 ? [` · ${chart.dataset.title}`, `-${index + 1}`] : ["", ""];
      return [
        fileButton(`PNG${title}`, ({ savePng }) => this.#withChart(chart, (element) => savePng(element, `${name}${suffix}.png`))),
        fileButton(`SVG${title}`, ({ saveSvg }) => this.#withChart(chart, (element) => saveSvg(element, `${name}${suffix}.svg`))),
      ];
    };
    const csv = fileButton("CSV", ({ saveCsv }) => saveCsv(csvRows(columns, rows), `${name}.csv`));
    const items = h("div", { class: "items" }, csv, charts.map(pictures), more);
    const details = h("details", {}, h("summary", {}, t("download")), items);
    details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      details.open = false;
      details.firstChild.focus();
    });
    this.#menu.replaceChildren(details);
  }

  /** Files look as the style sheet says, so a chart is part of the page while its file is made. */
  async #withChart(chart, save) {
    if (typeof chart !== "function") return save(chart);
    const element = h("div", { class: "visually-hidden", "aria-hidden": "true" }, chart());
    this.#body.append(element);
    try {
      return await save(element.firstChild);
    } finally {
      element.remove();
    }
  }

  #setState(state) {
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "loading" || state === "waiting"));
  }

  #message(state, ...content) {
    this.#setState(state);
    this.#menu.replaceChildren();
    this.content(h("div", { class: "message" }, content));
  }

  #fail(error) {
    const { status, code, problem = {} } = error;
    const state = status === 401 || status === 403 ? "forbidden" : status === 404 ? "empty" : "error";
    if (status === 401) dispatch("access-needed");
    const text = problemText(error);
    // The first block explains an error that all blocks share.
    if (error.isShared && this.element.previousElementSibling) return this.#message(state, text);
    const { detail, errors = [], suggestions = [], required_scope: scope, request_id: id } = problem;
    const small = (content) => h("p", { class: "detail" }, content);
    return this.#message(
      state,
      h("p", {}, text),
      detail && code !== "not_found" && small(detail),
      errors.map((fault) => small(t("problem.parameter", fault))),
      scope && h("code", {}, scope),
      suggestions.map((path) => h("button", { onclick: () => navigate({ department_path: path }) }, path)),
      status === 401 && h("button", { class: "primary", onclick: () => dispatch("access-needed") }, t("access.enter_key")),
      state === "error" && [id && small(`${t("request_id")} ${id}`), h("button", { onclick: () => dispatch("reload-view") }, t("retry"))],
    );
  }
}

const dispatch = (name) => document.dispatchEvent(new Event(name));

/** A button of a menu. Its action gets the functions of `download.js`; meanwhile the button is disabled. */
export function fileButton(text, action) {
  const button = h("button", {}, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await action(await import("./download.js"));
    } catch (error) {
      button.textContent = `${text}: ${t("failed")}`;
      button.title = error.message;
    } finally {
      button.disabled = false;
    }
  });
  return button;
}
