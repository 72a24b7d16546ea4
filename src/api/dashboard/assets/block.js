/** The frame of a block: heading, explanation, state, and the menu with its files. */

import { ApiError } from "./api.js";
import { definition } from "./definition.js";
import { h, keepFocus, newId, nextTask } from "./dom.js";
import { csvRows } from "./table.js";
import { navigate } from "./state.js";
import { hasText, t } from "./texts.js";

/**
 * @typedef {Object} BlockModule
 * @property {string} id
 * @property {function(View): Promise<*>} load requests the data
 * @property {function(Block, *, View): boolean} draw shows the data; false if there is nothing to show
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
    try {
      const data = await this.#module.load(view);
      await nextTask();
      if (run !== this.#run) return;
      const reason = `${this.#module.id}.empty`;
      if (this.#module.draw(this, data, view)) this.#setState("ready");
      else this.#message("empty", t(hasText(reason) ? reason : "empty"));
    } catch (error) {
      if (run === this.#run && error.name !== "AbortError") this.#fail(error);
    }
  }

  /** Replaces the content. */
  content(...nodes) {
    keepFocus(this.#body, () => this.#body.replaceChildren(...nodes.flat().filter(Boolean)));
  }

  /** Shows that days are being fetched, unless the data is there already. */
  wait() {
    if (this.element.dataset.state === "loading") this.#message("waiting", t("waiting"));
  }

  /** Offers the files of the block: a table as CSV, charts as pictures, and further buttons. */
  files({ columns, rows, charts = [], more = [] }) {
    const name = `feishu-pulse-${this.#module.id}`;
    const pictures = (chart, index) => {
      const [title, suffix] = charts.length > 1 ? [` · ${chart.dataset.title}`, `-${index + 1}`] : ["", ""];
      return [
        fileButton(`PNG${title}`, async ({ savePng }) => savePng(chart, `${name}${suffix}.png`)),
        fileButton(`SVG${title}`, ({ saveSvg }) => saveSvg(chart, `${name}${suffix}.svg`)),
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
    if (!(error instanceof ApiError)) console.error(error);
    const { status, code, problem = {} } = error;
    const state = status === 401 || status === 403 ? "forbidden" : status === 404 ? "empty" : "error";
    if (status === 401) dispatch("access-needed");
    // The API has the title and the detail of a problem in the language of the page.
    const text = hasText(`problem.${code}`) ? t(`problem.${code}`) : (problem.title ?? t("problem.error"));
    // The first block explains an error that all blocks share.
    if (error.isShared && this.element.previousElementSibling) return this.#message(state, text);
    const { detail, errors = [], suggestions = [], required_scope: scope, request_id: id } = problem;
    const small = (content) => h("p", { class: "detail" }, content);
    return this.#message(
      state,
      h("p", {}, text),
      detail && code !== "not_found" && small(detail),
      errors.map((fault) => small(`${fault.parameter}: ${fault.detail}`)),
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
