/** Requests to the public API of the gateway: credentials, problems, waits and jobs. */

import { language } from "./texts.js";

let credentials = null;

/** Sets the key or token that further requests carry; null: none. */
export function setCredentials(token) {
  credentials = token;
}

/** A response that is not the answer: an RFC 9457 problem, or no response at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, problem = {}, retryAfter = null) {
    super(problem.detail ?? problem.title ?? "");
    this.status = status;
    this.code = problem.code ?? (status ? `http_${status}` : "offline");
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/**
 * Sends one request; paths are relative to the page, because a proxy can publish it below a path.
 * `no-cache` makes the browser revalidate what it holds by entity tag.
 * @throws {ApiError} unless the status is 2xx
 */
export async function request(path, { signal, prefer, method = "GET" } = {}) {
  const headers = { "Accept-Language": language() };
  if (credentials) headers.Authorization = `Bearer ${credentials}`;
  if (prefer) headers.Prefer = prefer;
  let response;
  try {
    response = await fetch(path, { method, headers, signal, cache: "no-cache", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem, Number(response.headers.get("Retry-After")) || null);
}

/** Longest wait in seconds that the page sits out by itself; after longer ones the reader decides. */
const LONGEST_WAIT = 900;
/** Seconds between two looks at a job, and at most between two attempts while days are being fetched. */
const JOB_INTERVAL = 1;
const ATTEMPT_INTERVAL = 15;

/**
 * Requests JSON, and repeats the request until the days are there.
 * @param {string} path
 * @param {Object} options
 * @param {AbortSignal} options.signal
 * @param {function(Object)} options.onWait gets `{job}`, or `{code, seconds}` while the request waits
 * @param {Promise} [options.ready] settles when the days are expected to be there. Without it, the request starts a job
 */
export async function getJson(path, { signal, onWait, ready }) {
  let isReady = !ready;
  const opened = Promise.resolve(ready).catch(() => {}).then(() => (isReady = true));
  for (;;) {
    try {
      const response = await request(path, { signal, prefer: ready ? "wait=0" : "respond-async" });
      const body = await response.json();
      if (response.status !== 202) return body;
      await followJob(body, { signal, onWait });
    } catch (error) {
      if (!isTemporary(error)) throw error;
      const isFetching = error.code === "not_ready_in_time";
      onWait({ code: error.code, seconds: error.retryAfter });
      const pause = sleep(isFetching ? Math.min(error.retryAfter, ATTEMPT_INTERVAL) : error.retryAfter, signal);
      await (isFetching && !isReady ? Promise.race([opened, pause]) : pause);
    }
  }
}

const isTemporary = (error) =>
  error instanceof ApiError && [429, 503].includes(error.status) && error.retryAfter > 0 && error.retryAfter <= LONGEST_WAIT;

async function followJob(job, { signal, onWait }) {
  while (job.state === "running") {
    onWait({ job });
    await sleep(JOB_INTERVAL, signal);
    job = await (await request(`v1/backfills/${encodeURIComponent(job.id)}`, { signal })).json();
  }
  if (job.state !== "done") throw new ApiError(502, { code: "job_failed", detail: job.error ?? "" });
}

/** Resolves after some seconds; rejects when the signal aborts. */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
  });
}
