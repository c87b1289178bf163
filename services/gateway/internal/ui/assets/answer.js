import { $, el, problem, stamp } from "/ui/dom.js";
import { Problem, hear } from "/ui/api.js";

let root, lost, running;

/** The panel of the view; it is hidden until there is a question. */
export function open(main, onLost) {
  root = main;
  lost = onLost;
  close();
}

export function close() {
  if (running) running.abort();
  running = null;
  $("#answer", root).hidden = true;
}

/** Asks, and shows the answer while it is written. at are parameters of the search. */
export async function ask(question, category, at) {
  if (running) running.abort();
  const mine = (running = new AbortController());
  const panel = $("#answer", root);
  const text = $(".text", panel);
  const state = $(".state", panel);
  const began = performance.now();
  let whole = null;
  panel.hidden = false;
  panel.dataset.state = "running";
  panel.setAttribute("aria-busy", "true");
  text.replaceChildren();
  $(".cited", panel).replaceChildren();
  state.textContent = "Looking for passages…";
  problem(panel, null);
  try {
    await hear("/api/v1/knowledge/answer?" + at, { signal: mine.signal, body: { question, category } }, (event, data) => {
      if (event === "sources") state.textContent = `Answering from ${data.length} ${data.length === 1 ? "passage" : "passages"}…`;
      else if (event === "token") text.append(data.text);
      else if (event === "answer") whole = data;
      else if (event === "problem") throw new Problem(data.status, data);
    });
    if (!whole) throw new Problem(0, { detail: "The answer broke off before it was whole. Ask again." });
    draw(panel, whole, performance.now() - began);
  } catch (e) {
    if (e.name === "AbortError" || lost(e)) return;
    panel.dataset.state = "broken"; // what is there is not whole, and looks so
    state.textContent = text.textContent ? "Not whole:" : "";
    problem(panel, e);
  } finally {
    if (running === mine) panel.removeAttribute("aria-busy");
  }
}

function draw(panel, a, ms) {
  panel.dataset.state = a.outcome;
  const text = $(".text", panel);
  const parts = a.answer.split(/\[(\d+)\]/); // every other one is a number
  text.replaceChildren(...parts.map((p, i) => {
    if (i % 2 === 0) return p;
    const source = a.sources[p - 1];
    if (!source) return `[${p}]`;
    const b = el("button", { type: "button", class: "cite", "aria-label": `Source ${p}: ${source.title}` }, p);
    b.addEventListener("click", () => unfold(panel, p));
    return b;
  }));
  if (a.outcome === "no_answer") text.textContent = a.sources.length ? "The documents do not say." : "No passage was found for this.";
  const state = [`By ${a.model || "nobody"}, ${(ms / 1000).toFixed(1)} s`];
  if (a.usage) state.push(`, ${a.usage.prompt_tokens + a.usage.completion_tokens} tokens`);
  state.push(".");
  const warn = (said) => state.push(" ", el("span", { class: "warn" }, said));
  if (a.outcome === "uncited") warn("No passage is cited for this: it may be invented.");
  if (a.invented.length) warn("Citations of passages that there are not were taken out.");
  if (a.written_for) warn(`Written before, for the question "${a.written_for}".`);
  if (a.truncated) warn("The model had more to say than it was allowed to.");
  if (a.retrieval.degraded) warn(`Not all that was asked for: ${a.retrieval.degraded}`);
  if (a.retrieval.not_reranked) warn(`Not re-ranked: ${a.retrieval.not_reranked}`);
  $(".state", panel).replaceChildren(...state);
  const cited = [...new Set(a.citations.map((c) => c.number))];
  $(".cited", panel).replaceChildren(...cited.map((n) => source(a, n)));
}

/** A passage that is cited, with what is quoted of it. */
function source(a, n) {
  const s = a.sources[n - 1];
  const li = $("li", stamp("t-cited"));
  li.dataset.number = n;
  $(".number", li).textContent = n;
  $(".title", li).textContent = [s.title, ...[...new Set(s.heading_path)].filter((p) => p !== s.title)].join(" › ") + (s.page ? `, page ${s.page}` : "");
  $(".from", li).textContent = `${s.source_file || "document " + s.document_id} · ${s.category} · ${s.collection}`;
  $(".passage", li).textContent = [...(s.before || []), s.content, ...(s.after || [])].join("\n\n");
  for (const c of a.citations.filter((c) => c.number === n && c.quote !== null)) {
    $(".quotes", li).append(el("li", { class: c.verified ? "stands" : "warn" }, `“${c.quote}” `, c.verified ? "stands there" : "does not stand there"));
  }
  return li;
}

function unfold(panel, n) {
  const li = $(`[data-number="${n}"]`, panel);
  if (!li) return;
  $("details", li).open = true;
  $("summary", li).focus();
}
