/** What the page shows, kept in the query of its URL: a link opens the same view, and Back returns to the one before. */

import { lastMonth } from "./days.js";

/** What may be in the URL. The names of the selection are those of the API. */
const RULES = {
  period: /^(yesterday|[1-9]\d{0,3}d|\d{4}-(0[1-9]|1[0-2]))$/,
  start_date: /^\d{4}-\d\d-\d\d$/,
  end_date: /^\d{4}-\d\d-\d\d$/,
  compare: /^(previous|year|none)$/,
  department_path: /^[^]*$/, // the empty path selects the people without a department
  geo: /^[a-z]{2}(,[a-z]{2})*$/,
  interval: /^(day|week|month)$/,
  lang: /^(zh|en)$/,
  theme: /^(light|dark)$/,
};

/** Periods that the page offers as buttons. */
export const PERIODS = () => ["1d", "7d", "30d", "90d", "365d", lastMonth()];

const listeners = [];

/**
 * The state of the URL. Faulty values are ignored.
 * @returns {Object<string, string|undefined>}
 */
export function readState() {
  const query = new URLSearchParams(location.search);
  const state = {};
  for (const [name, rule] of Object.entries(RULES)) {
    const value = query.get(name);
    if (value != null && rule.test(value)) state[name] = value;
  }
  if (state.start_date && state.end_date && state.start_date <= state.end_date) delete state.period;
  else {
    delete state.start_date;
    delete state.end_date;
    state.period ??= "30d";
  }
  return { compare: "previous", interval: "day", ...state };
}

/** The URL of the page with some values changed; undefined removes a value. Relative, without the path. */
function linkTo(changes) {
  const next = { ...readState(), ...changes };
  const query = new URLSearchParams();
  for (const name of Object.keys(RULES)) {
    const isDefault = (name === "compare" && next[name] === "previous") || (name === "interval" && next[name] === "day");
    if (next[name] != null && !isDefault) query.set(name, next[name]);
  }
  return `?${query}`;
}

/** Changes the state: a new entry in the history of the browser. */
export function navigate(changes) {
  const url = linkTo(changes);
  if (url === location.search) return;
  history.pushState(null, "", url);
  notify();
}

/** Calls the listener after each change, also by Back and Forward. */
export function onStateChange(listener) {
  listeners.push(listener);
}

function notify() {
  const state = readState();
  listeners.forEach((listener) => listener(state));
}

addEventListener("popstate", notify);
