/** The data of one view: each report is requested once, and blocks share the answers. */

import { ApiError, getJson } from "./api.js";
import { addDays, daysBetween } from "./days.js";

/** A year ago, in whole weeks, so that weekdays are compared with the same weekdays. */
const YEAR = 364;

/** Days before a range that its 30-day and 7-day figures include. */
const [MONTH_LEAD, WEEK_LEAD] = [29, 6];

/** Longest selection in days that retention and movement show by week. */
const MOST_DAYS_BY_WEEK = 100;

export class View {
  #answers = new Map();
  #signal;
  #summary = null;
  #onWait;

  /** Why some days are missing from the answers; null if all are there. */
  partialReason = null;

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
    return (this.#summary ??= this.#getOrPartial(`v1/reports/summary?${this.#query({ period, start_date, end_date })}`).catch((error) => {
      error.isShared = true;
      throw error;
    }));
  }

  /** A report of the selection: `{data, meta}`. */
  async report(name, parameters) {
    return this.#getOrPartial(await this.path(`reports/${name}`, parameters));
  }

  /** The people of the selection with these parameters, one page. */
  async users(parameters) {
    return this.#getOrPartial(await this.path("users", parameters));
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

  /** The length of the periods of retention and movement: `week` or `month`. */
  async periodLength() {
    const { start_date, end_date } = (await this.summary()).meta;
    return daysBetween(start_date, end_date) > MOST_DAYS_BY_WEEK ? "month" : "week";
  }

  /** The figures of the range that the reader compares with; null without one, or if it has none. */
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
    const lead = Math.max(MONTH_LEAD, compare === "previous" ? length + WEEK_LEAD : 0);
    const all = await this.#days({ start_date: addDays(meta.start_date, -lead) });
    // A day before the range can have too few people; then all days of the answer are withheld.
    if (!all.data.length) return { current: (await this.#days({})).data, previous: [], meta: all.meta };
    const current = all.data.slice(-length);
    if (compare !== "year") return { current, previous: compare === "previous" ? all.data.slice(-2 * length, -length) : [], meta: all.meta };
    const { start_date, end_date } = before(meta, YEAR);
    const year = await this.#days({ start_date: addDays(start_date, -WEEK_LEAD), end_date });
    return { current, previous: year.data.slice(-length), meta: all.meta };
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

  /** The answer; if Feishu cannot be reached, that of the days that are there. */
  async #getOrPartial(path) {
    const partial = `${path}&allow_partial=true`;
    if (this.partialReason) return this.#get(partial);
    try {
      return await this.#get(path);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      const answer = await this.#get(partial).catch(() => null);
      if (!answer || answer.meta.data_as_of == null) throw error;
      this.partialReason = error;
      return answer;
    }
  }

  #get(path) {
    if (!this.#answers.has(path)) this.#answers.set(path, getJson(path, { signal: this.#signal, onWait: this.#onWait }));
    return this.#answers.get(path);
  }
}

/** Whether days could not be fetched, and waiting for them does not help. */
const isUnavailable = (error) => error instanceof ApiError && [502, 503, 504].includes(error.status);

/** The dates of a range, a number of days earlier. */
const before = (meta, days) => ({ start_date: addDays(meta.start_date, -days), end_date: addDays(meta.end_date, -days) });
