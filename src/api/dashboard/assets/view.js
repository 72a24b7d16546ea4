/** The data of one view: each report is requested once, and blocks share the answers. */

import { getJson } from "./api.js";
import { addDays, daysBetween, monthDates } from "./days.js";

/** A year ago, in whole weeks, so that weekdays are compared with the same weekdays. */
const YEAR = 364;

export class View {
  #answers = new Map();
  #signal;
  #onWait;
  #ready = null;

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

  /** Query parameters of the selection, with others added; undefined values are omitted. */
  query(parameters = {}) {
    const { period, start_date, end_date, department_path, geo } = this.state;
    const all = { period, start_date, end_date, department_path, geo, ...parameters };
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(all)) if (value != null) query.set(name, value);
    return query.toString();
  }

  /** A report of the selection: `{data, meta}`. */
  report(name, parameters) {
    return this.#get(`v1/reports/${name}?${this.query(parameters)}`);
  }

  /** The people of the selection with these parameters, one page. */
  users(parameters) {
    return this.#get(`v1/users?${this.query(parameters)}`);
  }

  /** The state of each day of the selection. */
  coverage() {
    return this.#get(`v1/coverage?${this.query({ department_path: undefined })}`);
  }

  /** The headline figures; this request starts the job that fetches days, and the others wait for it. */
  summary() {
    return this.report("summary");
  }

  /** The figures of the range that the reader compares with, or null. */
  async comparison() {
    const { compare } = this.state;
    if (compare === "none") return null;
    const summary = await this.summary();
    if (compare === "previous") return summary.data.previous;
    return (await this.report("summary", dates(shifted(summary.meta)))).data.current;
  }

  /**
   * One item for each day of the range and of the range that it is compared with.
   * @returns {Promise<{current: Object[], previous: Object[], meta: Object}>}
   */
  async daily() {
    const { compare } = this.state;
    const parameters = compare === "previous" ? this.#bothRanges() : {};
    const [all, { meta }] = await Promise.all([this.report("activity", { interval: "day", ...parameters }), this.summary()]);
    const isIn = ({ start_date: from, end_date: to }) => (day) => day.start_date >= from && day.start_date <= to;
    const before = { start_date: addDays(meta.start_date, -length(meta)), end_date: addDays(meta.start_date, -1) };
    const previous = compare === "year" ? await this.report("activity", { interval: "day", ...dates(shifted(meta)) }) : all;
    return {
      current: all.data.filter(isIn(meta)),
      previous: compare === "none" ? [] : previous.data.filter(isIn(compare === "year" ? shifted(meta) : before)),
      meta: all.meta,
    };
  }

  /** Parameters of a range that contains the selected one and the equally long one before it. */
  #bothRanges() {
    const { period, start_date, end_date } = this.state;
    const [, days] = /^(\d+)d$/.exec(period ?? "") ?? [];
    if (days) return { period: `${2 * days}d` };
    if (period === "yesterday") return { period: "2d" };
    const [from, to] = period ? monthDates(period) : [start_date, end_date];
    return dates({ start_date: addDays(from, -daysBetween(from, to)), end_date: to });
  }

  #get(path) {
    if (!this.#answers.has(path)) {
      const answer = getJson(path, { signal: this.#signal, onWait: this.#onWait, ready: this.#ready });
      this.#ready ??= answer;
      this.#answers.set(path, answer);
    }
    return this.#answers.get(path);
  }
}

const length = (meta) => daysBetween(meta.start_date, meta.end_date);

const shifted = (meta) => ({ start_date: addDays(meta.start_date, -YEAR), end_date: addDays(meta.end_date, -YEAR) });

/** Parameters of explicit dates, which take the place of a period. */
const dates = ({ start_date, end_date }) => ({ period: undefined, start_date, end_date });
