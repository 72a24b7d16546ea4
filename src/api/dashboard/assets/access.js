/** Access: an access key, kept in `sessionStorage`, or a token of the identity provider, kept in memory only. */

import { request, setCredentials } from "./api.js";
import { h, setting } from "./dom.js";
import { problemText } from "./problem.js";
import { read, remove, write } from "./storage.js";
import { t } from "./texts.js";

const STORE = "feishu-pulse.key";

/** What a key can consist of: browsers refuse to send other characters in a header. */
const HEADER_TEXT = /^[\x21-\x7e]+$/;

/** Whether the gateway names an identity provider and the client id of the page. */
const hasProvider = setting("oidc-client-id") !== "";

let isSignedIn = false;
let dialog = null;
let failure = null;

/** Whether requests carry a key or a token. */
export const hasAccess = () => isSignedIn;

/** Takes the key of this browser tab, or completes a sign-in that the provider has just returned from. */
export async function restoreAccess() {
  try {
    const token = hasProvider && (await (await import("./oidc.js")).finishSignIn());
    if (token) return use(token);
  } catch (error) {
    failure = error.message;
  }
  const key = read(STORE);
  return key ? use(key) : null;
}

/** Forgets the key or token. */
export function signOut() {
  remove(STORE);
  use(null);
  changed();
}

/** Asks the reader for a key, or for a sign-in if the gateway names a provider. */
export function askForAccess() {
  if (dialog?.open) return;
  dialog?.remove();
  const key = h("input", {
    id: "access-key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "access-error",
  });
  const error = h("p", { id: "access-error", class: "problem", role: "alert" }, failure && t("access.sign_in_failed", { reason: failure }));
  const enter = async (event) => {
    event.preventDefault();
    error.textContent = await faultOf(key.value.trim());
    if (error.textContent) return key.select();
    write(STORE, key.value.trim());
    dialog.close();
    return changed();
  };
  const signIn = async () => {
    try {
      await (await import("./oidc.js")).startSignIn();
    } catch (reason) {
      error.textContent = t("access.sign_in_failed", { reason: reason.message });
    }
  };
  dialog = h(
    "dialog",
    { class: "access", "aria-labelledby": "access-title" },
    h("h2", { id: "access-title" }, t("access.title")),
    hasProvider && h("button", { type: "button", class: "primary", onclick: signIn }, t("access.sign_in")),
    h(
      "form",
      { onsubmit: enter },
      h("label", { for: "access-key" }, t("access.key")),
      key,
      h("p", { class: "muted" }, t("access.kept")),
      error,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")),
        h("button", { class: hasProvider ? null : "primary" }, t("access.enter")),
      ),
    ),
  );
  failure = null;
  document.body.append(dialog);
  dialog.showModal();
}

/** Tries a key; the empty text if the gateway accepts it. */
async function faultOf(key) {
  if (!HEADER_TEXT.test(key)) return t("access.invalid");
  use(key);
  try {
    await request("v1/coverage?period=1d");
    return "";
  } catch (error) {
    if (error.status === 403) return ""; // a valid key; each block says what it lacks
    use(null);
    return error.status === 401 ? t("access.wrong") : problemText(error);
  }
}

function use(token) {
  isSignedIn = token != null;
  setCredentials(token);
}

const changed = () => document.dispatchEvent(new Event("access-changed"));
