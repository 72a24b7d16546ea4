/** Sign-in with the identity provider: OpenID Connect code flow with PKCE (RFC 7636) as a public client. Loaded if the gateway names a provider. */

import { setting } from "./dom.js";
import { read, remove, write } from "./storage.js";
import { t } from "./texts.js";

const STORE = "feishu-pulse.sign-in";

/** Scopes of the gateway that the page uses, requested if the provider lists them. */
const SCOPES = ["reports:read", "users:read"];

/** The address of the page, which is registered with the provider. */
const redirectUri = () => location.origin + location.pathname;

/** Leaves the page for the provider, which returns to it with a code. */
export async function startSignIn() {
  const provider = await discover();
  const [verifier, state] = [randomText(), randomText()];
  const isKept = write(STORE, JSON.stringify({ verifier, state, query: location.search }));
  if (!isKept) throw new Error(t("access.no_storage"));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: setting("oidc-client-id"),
    redirect_uri: redirectUri(),
    scope: ["openid", ...SCOPES.filter((scope) => provider.scopes_supported?.includes(scope))].join(" "),
    state,
    code_challenge: await challenge(verifier),
    code_challenge_method: "S256",
  });
  const url = new URL(provider.authorization_endpoint);
  query.forEach((value, name) => url.searchParams.set(name, value));
  location.assign(url);
}

/**
 * Completes a sign-in if the provider has just returned to the page, and restores the view from before.
 * @returns {Promise<string|null>} the token, which stays in memory; null if there is no sign-in to complete
 * @throws {Error} if the provider reports an error, or if the answer does not belong to this sign-in
 */
export async function finishSignIn() {
  const answer = new URLSearchParams(location.search);
  const begun = JSON.parse(read(STORE) ?? "null");
  if (!begun || !answer.has("state")) return null;
  remove(STORE);
  history.replaceState(null, "", location.pathname + begun.query);
  if (answer.get("state") !== begun.state) throw new Error("the state of the answer is not that of the request");
  if (!answer.has("code")) throw new Error(answer.get("error_description") ?? answer.get("error") ?? "no code");
  if (answer.has("iss") && withoutSlash(answer.get("iss")) !== withoutSlash(setting("oidc-issuer")))
    throw new Error("the answer is from another issuer");
  return exchange(answer.get("code"), begun.verifier);
}

async function exchange(code, verifier) {
  const { token_endpoint: endpoint } = await discover();
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code,
    client_id: setting("oidc-client-id"),
    redirect_uri: redirectUri(),
    code_verifier: verifier,
  });
  const response = await fetch(endpoint, { method: "POST", body });
  const tokens = await response.json();
  if (!response.ok) throw new Error(tokens.error_description ?? tokens.error ?? `status ${response.status}`);
  // The gateway needs a JWT. Some providers issue opaque access tokens; their ID token is one.
  const token = tokens.access_token?.split(".").length === 3 ? tokens.access_token : tokens.id_token;
  if (!token) throw new Error("the provider returned no JWT");
  return token;
}

async function discover() {
  const issuer = setting("oidc-issuer");
  const response = await fetch(`${withoutSlash(issuer)}/.well-known/openid-configuration`);
  if (!response.ok) throw new Error(`status ${response.status}`);
  const provider = await response.json();
  if (withoutSlash(provider.issuer) !== withoutSlash(issuer)) throw new Error("the provider has another issuer");
  return provider;
}

const withoutSlash = (url) => url?.replace(/\/$/, "");

const base64Url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** 256 random bits. */
const randomText = () => base64Url(crypto.getRandomValues(new Uint8Array(32)));

const challenge = async (verifier) => base64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
