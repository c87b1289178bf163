// Small helpers over the document. Text only ever becomes text nodes.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** A copy of what a template holds. */
export const stamp = (id) => document.getElementById(id).content.cloneNode(true);

/** An element with attributes and children; children that are strings are text. */
export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) {
    if (v === true) e.setAttribute(k, "");
    else if (v !== false && v != null) e.setAttribute(k, v);
  }
  e.append(...children);
  return e;
}

/** Tells a reader of the screen, and shows it for a moment. */
export function say(text) {
  const s = $("#say");
  s.textContent = text;
  s.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => s.classList.remove("shown"), 4000);
}

/** Shows an error in a view, or takes the last one away. */
export function problem(root, error) {
  const p = $(".problem", root);
  p.hidden = !error;
  p.textContent = error ? error.message[0].toUpperCase() + error.message.slice(1) : "";
}

/** Asks before something is lost. */
export function sure(text) {
  const d = $("#sure");
  $("#sure-text").textContent = text;
  d.returnValue = "no";
  d.showModal();
  return new Promise((answer) => d.addEventListener("close", () => answer(d.returnValue === "yes"), { once: true }));
}

export function options(select, names, chosen) {
  select.replaceChildren(el("option", { value: "" }, "all"), ...names.map((n) => el("option", { value: n }, n)));
  // What a link names is kept though it is not there yet.
  if (chosen && !names.includes(chosen)) select.append(el("option", { value: chosen }, chosen));
  select.value = chosen || "";
}
