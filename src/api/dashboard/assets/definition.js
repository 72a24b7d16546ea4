/** The button beside a name that shows its definition. One popover serves all buttons. */

import { h, newId, style } from "./dom.js";
import { definitionsUrl, hasText, t } from "./texts.js";

let popover = null;

/** A button that shows the definition of a figure or block; null if there is none. */
export function definition(key) {
  if (!hasText(`def.${key}`)) return null;
  const label = t("definition_of", { name: t(hasText(`figure.${key}`) ? `figure.${key}` : `${key}.title`) });
  return h("button", { class: "info", "aria-label": label, title: label, onclick: (event) => open(event.currentTarget, key) }, "?");
}

/** The id of a figure or heading in the definitions. */
const anchorOf = (key) => encodeURIComponent(hasText(`anchor.${key}`) ? t(`anchor.${key}`) : key);

function open(button, key) {
  popover?.remove();
  const title = newId("definition");
  popover = h(
    "div",
    { popover: "auto", class: "definition", role: "dialog", "aria-labelledby": title },
    h("strong", { id: title }, button.getAttribute("aria-label")),
    h("p", {}, t(`def.${key}`)),
    h("a", { href: `${definitionsUrl()}#${anchorOf(key)}`, target: "_blank" }, t("definition_full")),
  );
  // Beside the button in the document, so that Tab goes from the button into the popover.
  button.after(popover);
  popover.showPopover();
  const { left, bottom } = button.getBoundingClientRect();
  const room = document.documentElement.clientWidth - popover.offsetWidth - 12;
  style(popover, "left", `${Math.max(12, Math.min(left - 20, room))}px`);
  style(popover, "top", `${Math.max(12, Math.min(bottom + 6, innerHeight - popover.offsetHeight - 12))}px`);
}
