/** Creation of elements. Text is always a text node, so that names in data cannot become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Creates an HTML element.
 * @param {string} tag
 * @param {Object} [attributes] `onclick: fn` adds a listener; `true` is an empty attribute; null and false are omitted
 * @param {...(Node|string|number|null|Array)} children
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Creates an SVG element; the parameters are those of `h`. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Sets a CSS property or variable. The content security policy forbids style attributes, but not this. */
export function style(element, name, value) {
  element.style.setProperty(name, value);
  return element;
}

/** A value that the gateway has written into the page. */
export const setting = (name) => document.querySelector(`meta[name="${name}"]`).content;

let lastId = 0;

/** A new id for `aria-labelledby` and SVG patterns. */
export function newId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** Replaces the content of an element by `replace`, and focuses the control at the place of the one that had the focus. */
export function keepFocus(element, replace) {
  const controls = () => [...element.querySelectorAll("button, input, select, summary, [tabindex]")];
  const index = controls().indexOf(document.activeElement);
  replace();
  if (index >= 0) controls()[index]?.focus();
}

/** Resolves in a task of its own, so that the page reacts in between. */
export const nextTask = () => new Promise((resolve) => setTimeout(resolve));
