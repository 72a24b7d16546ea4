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
  const problem = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return {};
  });
  throw new ApiError(response.status, problem, Number(response.headers.get("Retry-After")) || null);
}

/** Longest wait in seconds after which the page asks again by itself; after longer ones the reader decides. */
const LONGEST_WAIT = 900;
/** Seconds between two requests for the progress of a job. */
const JOB_INTERVAL = 1;

/**
 * Requests JSON. If the days are not there yet, waits for the job that fetches them and repeats the request.
 * @param {string} path
 * @param {Object} options
 * @param {AbortSignal} options.signal
 * @param {function(Object)} options.onWait gets `{job}` while a job runs, and `{seconds}` before another attempt
 */
export async function getJson(path, { signal, onWait }) {
  let prefer = "respond-async";
  for (;;) {
    try {
      const response = await request(path, { signal, prefer });
      const body = await response.json();
      if (response.status !== 202) return body;
      await followJob(body, { signal, onWait });
      // The days are there now. Reading many of them can take longer than an asynchronous request waits.
      prefer = null;
    } catch (error) {
      if (!isTemporary(error)) throw error;
      onWait({ seconds: error.retryAfter });
      await sleep(error.retryAfter, signal);
    }
  }
}

const isTemporary = (error) =>
  error instanceof ApiError && [429, 503].includes(error.status) && error.retryAfter > 0 && error.retryAfter <= LONGEST_WAIT;

async function followJob(job, { signal, onWait }) {
  // Until the job has an estimate by its own progress, the first one counts down.
  const [started, first] = [Date.now(), job.seconds_left ?? 0];
  while (job.state === "running") {
    const seconds_left = job.seconds_left ?? Math.round(first - (Date.now() - started) / 1000);
    onWait({ job: { ...job, seconds_left: Math.max(0, seconds_left) } });
    await sleep(JOB_INTERVAL, signal);
    job = await (await request(`v1/backfills/${encodeURIComponent(job.id)}`, { signal })).json();
  }
  if (job.state !== "done") throw new ApiError(502, { code: "job_failed", detail: job.error ?? "" });
}

/** Resolves after some seconds; rejects when the signal aborts. */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", stop);
  });
}
