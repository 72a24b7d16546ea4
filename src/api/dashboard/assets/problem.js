/** What went wrong, in the language of the page. The API has titles and details in both languages. */

import { hasText, t } from "./texts.js";

/** The text of an error. */
export function problemText({ code, problem = {} }) {
  return hasText(`problem.${code}`) ? t(`problem.${code}`) : (problem.title ?? t("problem.error"));
}
