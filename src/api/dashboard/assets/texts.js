/** The texts of the page in the chosen language; `texts.zh.js` and `texts.en.js` hold them. */

let current = "en";
let texts = {};

/** Loads the texts of a language (`zh` or `en`). They are in use from `useTexts` on, because the reader can change the view meanwhile. */
export const loadTexts = async (lang) => (await (lang === "zh" ? import("./texts.zh.js") : import("./texts.en.js"))).default;

/** Shows texts that are loaded. */
export function useTexts(lang, loaded) {
  [current, texts] = [lang, loaded];
  document.documentElement.lang = language();
}

/** The language of the browser, if the page speaks it; else English. */
export const preferredLanguage = () => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The language as a BCP 47 tag. */
export const language = () => (current === "zh" ? "zh-CN" : "en");

/** The text of a key, with `{name}` replaced by values. */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is a text for the key. */
export const hasText = (key) => key in texts;

/** The full definitions of all figures. */
export const definitionsUrl = () => (current === "zh" ? "docs/zh/metrics.html" : "docs/metrics.html");
