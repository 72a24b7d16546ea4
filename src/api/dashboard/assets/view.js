/** The data of one view: each report is requested once, and blocks share the answers. */

import { getJson } from "./api.js";
import { addDays, daysBetween } from "./days.js";

/** A year ago, in whole weeks, so that weekdays are compared with the same weekdays. */
const YEAR = 364;

/** Days before a range that its 30-day figures include. */
const LEAD = 29;

export class View {
  #answers = new Map();
  #signal;
  #onWait;

  /**
   * @param {Object} state what `readState` returns
   * @param {AbortSignal} signal ends all requests of the view
   * @param {function(Object)} onWait gets what `getJson` reports while days are being fetched
   */
  constructor(state, signal, onWait) {
    this.state = state;
    this.#signal = signal;
    this.#onWait = onWait;
  }

  /**
   * The headline figures. The gateway resolves the period; the other reports wait for this one and use its dates, so that
   * all of them have the same days, and so that a single job fetches days that are not there yet.
   */
  summary() {
    const { period, start_date, end_date } = this.state;
    return this.#get(`v1/reports/summary?${this.#query({ period, start_date, end_date })}`).catch((error) => {
      error.isShared = true;
      throw error;
    });
  }

  /** A report of the selection: `{data, meta}`. */
  async report(name, parameters) {
    return this.#get(await this.path(`reports/${name}`, parameters));
  }

  /** The people of the selection with these parameters, one page. */
  async users(parameters) {
    return this.#get(await this.path("users", parameters));
  }

  /** The state of each day of the selection. */
  async coverage() {
    return this.#get(await this.path("coverage", { department_path: undefined }));
  }

  /** Path of an operation with the parameters of the selection. */
  async path(name, parameters) {
    const { start_date, end_date } = (await this.summary()).meta;
    return `v1/${name}?${this.#query({ start_date, end_date, ...parameters })}`;
  }

  /** The figures of the range that the reader compares with, or null. */
  async comparison() {
    const { compare } = this.state;
    if (compare === "none") return null;
    const { data, meta } = await this.summary();
    return compare === "previous" ? data.previous : (await this.report("summary", before(meta, YEAR))).data.current;
  }

  /**
   * One item for each day of the range and of the range that it is compared with.
   * @returns {Promise<{current: Object[], previous: Object[], meta: Object}>}
   */
  async daily() {
    const { compare } = this.state;
    const { meta } = await this.summary();
    const length = daysBetween(meta.start_date, meta.end_date);
    const start_date = addDays(meta.start_date, -Math.max(LEAD, compare === "previous" ? length : 0));
    const all = await this.#days({ start_date });
    const year = compare === "year" ? await this.#days(before(meta, YEAR)) : null;
    const previous = compare === "previous" ? all.data.slice(-2 * length, -length) : (year?.data ?? []);
    return { current: all.data.slice(-length), previous, meta: all.meta };
  }

  #days(dates) {
    return this.report("activity", { interval: "day", trailing: "held", ...dates });
  }

  #query(parameters) {
    const { department_path, geo } = this.state;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ department_path, geo, ...parameters })) if (value != null) query.set(name, value);
    return query;
  }

  #get(path) {
    if (!this.#answers.has(path)) this.#answers.set(path, getJson(path, { signal: this.#signal, onWait: this.#onWait }));
    return this.#answers.get(path);
  }
}

/** The dates of a range, a number of days earlier. */
const before = (meta, days) => ({ start_date: addDays(meta.start_date, -days), end_date: addDays(meta.end_date, -days) });
