import { $, $$, el, options, problem, stamp } from "/ui/dom.js";
import { call } from "/ui/api.js";
import { marked } from "/ui/marked.js";
import * as answer from "/ui/answer.js";

let root, form, lost, running, alphaTouched, shown;

const modes = ["hybrid", "vector", "keyword"];
const most = 1000; // results that can be paged to, as the contract has it
const named = { hybrid: "words and meaning", vector: "meaning", keyword: "words" };

export function open(main, at, onLost) {
  root = main;
  lost = onLost;
  form = $("#ask", root);
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    go();
  });
  form.addEventListener("change", (e) => {
    if (e.target.name === "alpha") alphaTouched = true;
    drawn();
    if (e.target.name !== "q" && form.elements.q.value.trim()) go();
  });
  form.elements.alpha.addEventListener("input", drawn);
  $("#further", root).addEventListener("click", () => run(true));
  $("#to-answer", root).addEventListener("click", toAnswer);
  answer.open(root, lost);
  moved(at);
  choices(at);
  form.elements.q.focus();
}

/** Reads the address into the form, and searches when it holds a question. */
export function moved(at) {
  const f = form.elements;
  f.q.value = at.get("q") || "";
  f.mode.value = modes.includes(at.get("mode")) ? at.get("mode") : "hybrid";
  alphaTouched = at.has("alpha");
  f.alpha.value = alphaTouched ? at.get("alpha") : 0.5;
  for (const n of ["collection", "category"]) options(f[n], $$("option", f[n]).map((o) => o.value).filter(Boolean), at.get(n));
  f.group.checked = at.get("group") === "document";
  f.rerank.value = ["true", "false"].includes(at.get("rerank")) ? at.get("rerank") : "";
  f.limit.value = at.get("limit") || "10";
  if (!f.limit.value) f.limit.value = "10";
  drawn();
  answer.close();
  if (f.q.value.trim()) run();
  else {
    $("#results", root).replaceChildren();
    $("#summary", root).textContent = "";
    $("#further", root).hidden = true;
  }
}

async function choices(at) {
  try {
    const [c, k] = await Promise.all([call("GET", "/api/v1/knowledge/collections"), call("GET", "/api/v1/knowledge/categories")]);
    options(form.elements.collection, c.data, at.get("collection"));
    options(form.elements.category, k.data, at.get("category"));
  } catch (e) {
    if (!lost(e)) problem(root, e);
  }
}

function drawn() {
  const f = form.elements;
  $(".alpha", form).hidden = f.mode.value !== "hybrid";
  $("output", form).textContent = alphaTouched ? Number(f.alpha.value).toFixed(2) : "default";
}

/** Moves to the address of what the form asks; the search follows from there. */
function go() {
  const f = form.elements;
  const at = new URLSearchParams({ q: f.q.value.trim() });
  if (f.mode.value !== "hybrid") at.set("mode", f.mode.value);
  else if (alphaTouched) at.set("alpha", f.alpha.value);
  for (const n of ["collection", "category", "rerank"]) if (f[n].value) at.set(n, f[n].value);
  if (f.group.checked) at.set("group", "document");
  if (f.limit.value !== "10") at.set("limit", f.limit.value);
  const hash = "#/search?" + at;
  if (location.hash === hash) run();
  else location.hash = hash;
}

/** What the form says of how passages are found. */
function how() {
  const f = form.elements;
  const at = new URLSearchParams({ mode: f.mode.value });
  if (f.mode.value === "hybrid" && alphaTouched) at.set("alpha", f.alpha.value);
  for (const n of ["collection", "rerank"]) if (f[n].value) at.set(n, f[n].value);
  if (f.group.checked) at.set("group", "document");
  return at;
}

/** Has the question answered in words, above the results. */
function toAnswer() {
  const f = form.elements;
  if (f.q.value.trim()) answer.ask(f.q.value.trim(), f.category.value || null, how());
  else f.q.focus();
}

/** Searches; with more, for what comes after the results that are there. */
async function run(more) {
  if (running) running.abort();
  const mine = (running = new AbortController());
  const f = form.elements;
  const at = how();
  if (more) at.set("offset", shown);
  problem(root, null);
  root.setAttribute("aria-busy", "true");
  const began = performance.now();
  try {
    const a = await call("POST", "/api/v1/knowledge/query?" + at, {
      signal: mine.signal, body: { query: f.q.value.trim(), category: f.category.value || null, limit: Number(f.limit.value) },
    });
    draw(a, performance.now() - began, more);
  } catch (e) {
    if (e.name === "AbortError" || lost(e)) return;
    if (!more) {
      $("#results", root).replaceChildren();
      $("#summary", root).textContent = "";
    }
    problem(root, e);
  } finally {
    if (running === mine) root.removeAttribute("aria-busy");
  }
}

function draw({ data: hits, headers }, ms, more) {
  const used = headers.get("CC-Search-Mode");
  const why = headers.get("CC-Search-Degraded");
  const total = headers.get("CC-Search-Total");
  const read = headers.get("CC-Search-Query");
  const anew = headers.get("CC-Search-Reranked");
  const asBefore = headers.get("CC-Search-Not-Reranked");
  const first = more ? shown : 0;
  shown = first + hits.length;
  const parts = [];
  if (shown === 0) parts.push("Nothing found. Try fewer words, rank by meaning, or all collections.");
  else {
    parts.push(`${shown} ${shown === 1 ? "result" : "results"} by ${named[used] || used}${anew ? ", re-ranked" : ""}, ${ms.toFixed(0)} ms`);
    parts.push(total === null ? "." : `; ${total} ${total === "1" ? "passage matches" : "passages match"} by words.`);
  }
  // A plain sentence is read as it stands; what is worth saying is how marks were.
  if (read && /["+()*~:]|(^| )-|AND|OR|NOT/.test(form.elements.q.value)) parts.push(" Read as ", el("code", {}, spelled(read)), ".");
  if (why) parts.push(" ", el("span", { class: "warn" }, `Not all that was asked for: ${why}`));
  if (asBefore) parts.push(" ", el("span", { class: "warn" }, `Not re-ranked: ${asBefore}`));
  $("#summary", root).replaceChildren(...parts);
  const list = $("#results", root);
  const cards = hits.map((h, i) => result(h, first + i));
  if (more) list.append(...cards);
  else list.replaceChildren(...cards);
  if (more && cards.length) cards[0].focus();
  $("#further", root).hidden = hits.length < Number(form.elements.limit.value) || shown >= most;
}

/** A header's text, in which what is not ASCII is escaped. */
function spelled(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function result(h, i) {
  const m = h.metadata;
  const li = $("li", stamp("t-hit"));
  $("h2", li).textContent = h.title;
  $(".score", li).textContent = h.score.toFixed(3);
  // The first heading is often the title itself.
  $(".path", li).textContent = [...new Set(m.heading_path || [])].filter((p) => p !== h.title).join(" › ");
  const body = $(".body", li);
  body.append(...marked(h.content, h.highlights));
  const line = m.line > 0 ? `:${m.line}` : m.page > 0 ? `, page ${m.page}` : "";
  const others = h.others ? [`${h.others} more here`] : [];
  $(".from", li).textContent = [`${h.source_file || "document " + m.document_id}${line}`, h.category, m.collection, ...others].join(" · ");
  li.setAttribute("aria-label", `${i + 1}. ${h.title}, ${h.score.toFixed(2)}`);
  const rows = [];
  const leg = (name, l, share) => {
    if (!l || l.score == null) return;
    rows.push(el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, l.score.toFixed(3)), el("td", {}, l.rank ? String(l.rank) : "–"),
      el("td", {}, share == null ? "" : el("meter", { min: 0, max: 1, value: Math.max(0, share), "aria-label": name }))));
  };
  leg("words (BM25)", m.lexical);
  leg("meaning (cosine)", m.vector, m.vector && m.vector.score);
  const sum = (name, score, rank) => rows.push(el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, score.toFixed(3)), el("td", {}, String(rank)),
    el("td", {}, el("meter", { min: 0, max: 1, value: score, "aria-label": name }))));
  if (m.rerank) {
    sum("together", m.rerank.first_score, m.rerank.first_rank);
    sum("re-ranked", h.score, i + 1);
  } else sum("together", h.score, i + 1);
  $("tbody", li).append(...rows);
  $(".sum", li).textContent = `Passage ${m.chunk_index + 1} of ${m.chunk_count}` +
    (m.mode === "hybrid" ? `; meaning weighs ${m.alpha}, words ${(1 - m.alpha).toFixed(2)} (${m.fusion})` : "") + (m.rerank ? `; re-ranked by ${m.rerank.model}` : "") + `; index generation ${m.index_generation}.`;
  const more = $(".more", li);
  const toggle = () => {
    const unfolded = li.classList.toggle("open");
    more.setAttribute("aria-expanded", String(unfolded));
    more.textContent = unfolded ? "Less" : "More";
    $(".why", li).hidden = !unfolded;
  };
  more.addEventListener("click", toggle);
  li.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && e.target === li) toggle();
  });
  return li;
}

/** Takes a key; whether it meant something. */
export function key(e) {
  const hits = $$(".hit", root);
  const here = hits.indexOf(document.activeElement.closest(".hit"));
  switch (e.key) {
    case "/":
      form.elements.q.select();
      return true;
    case "a":
      toAnswer();
      return true;
    case "m": {
      const f = form.elements;
      f.mode.value = modes[(modes.indexOf(f.mode.value) + 1) % modes.length];
      drawn();
      if (f.q.value.trim()) go();
      return true;
    }
    case "j":
    case "ArrowDown":
      if (hits.length) hits[Math.min(here + 1, hits.length - 1)].focus();
      return hits.length > 0;
    case "k":
    case "ArrowUp":
      if (here > 0) hits[here - 1].focus();
      else form.elements.q.focus();
      return true;
  }
  return false;
}
