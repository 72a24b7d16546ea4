// A certified implementation of an OpenID Connect provider on loopback, with one public client.

import Provider from "oidc-provider";

export async function startIdentityProvider(port, redirectUri) {
  const issuer = `http://127.0.0.1:${port}`;
  const tokenOrigin = `http://localhost:${port}`;
  const resource = {
    scope: "reports:read users:read",
    audience: "pulse",
    accessTokenFormat: "jwt",
    jwt: { sign: { alg: "RS256" } },
  };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "dashboard",
        token_endpoint_auth_method: "none",
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    clientBasedCORS: (_context, origin) => origin === new URL(redirectUri).origin,
    scopes: ["openid", "reports:read", "users:read"],
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:pulse",
        getResourceServerInfo: () => resource,
        useGrantedResource: () => true,
      },
    },
  });
  // The token endpoint has another origin than the issuer.
  provider.use(async (context, next) => {
    await next();
    if (context.path.endsWith("/openid-configuration")) context.body.token_endpoint = context.body.token_endpoint.replace(issuer, tokenOrigin);
  });
  const server = provider.listen(port, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return { issuer, tokenOrigin, stop: () => server.close() };
}
