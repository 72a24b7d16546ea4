// Starts Swagger UI, instead of the script of the same name that comes with it.
window.onload = () => {
  const choice = "feishu-pulse.keep-key";
  const store = "authorized"; // where Swagger UI keeps the key
  const isKept = () => localStorage.getItem(choice) === "yes";
  if (!isKept()) localStorage.removeItem(store);

  window.ui = SwaggerUIBundle({
    url: "../openapi.json", // relative, because a proxy can publish the page below a path
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout", // without the top bar
    docExpansion: "none",
    defaultModelsExpandDepth: -1,
    tryItOutEnabled: true,
    persistAuthorization: isKept(),
  });

  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = isKept();
  box.onchange = () => {
    localStorage.setItem(choice, box.checked ? "yes" : "no");
    window.ui.getConfigs().persistAuthorization = box.checked;
    if (box.checked) window.ui.authActions.persistAuthorizationIfNeeded();
    else localStorage.removeItem(store);
  };
  const label = document.createElement("label");
  label.append(box, " Keep my key in this browser / 在此浏览器中保留密钥");
  const chinese = document.createElement("a");
  chinese.href = "zh/metrics.html";
  chinese.textContent = "中文文档";
  chinese.lang = "zh-CN";
  const dashboard = document.createElement("a");
  dashboard.href = "../";
  dashboard.textContent = "Dashboard / 仪表盘";
  const bar = document.createElement("p");
  bar.style = "margin: 1em auto; max-width: 1420px; padding: 0 20px; font: 14px sans-serif";
  bar.append(dashboard, " · ", label, " · ", chinese);
  document.body.prepend(bar);
};
