import { $, $$, el, problem, say, sure } from "/ui/dom.js";
import { call, follow, upload } from "/ui/api.js";

const pageSize = 20;
const largest = 20 << 20; // bytes of a document, as the contract has it
const atOnce = 2; // uploads

const passages = (n) => `${n} ${n === 1 ? "passage" : "passages"}`;

let root, form, lost, skip, waiting, busy;

export function open(main, _, onLost) {
  root = main;
  lost = onLost;
  skip = 0;
  waiting = [];
  busy = 0;
  form = $("#upload", root);
  form.addEventListener("submit", (e) => e.preventDefault());
  form.elements.file.addEventListener("change", (e) => {
    take(e.target.files);
    e.target.value = "";
  });
  for (const type of ["dragenter", "dragover"]) {
    form.addEventListener(type, (e) => {
      e.preventDefault();
      form.classList.add("over");
    });
  }
  for (const type of ["dragleave", "drop"]) form.addEventListener(type, () => form.classList.remove("over"));
  form.addEventListener("drop", (e) => {
    e.preventDefault();
    take(e.dataTransfer.files);
  });
  $("#newer", root).addEventListener("click", () => turn(-pageSize));
  $("#older", root).addEventListener("click", () => turn(pageSize));
  known();
  list();
}

export function moved() {}

async function known() {
  try {
    const [k, c] = await Promise.all([call("GET", "/api/v1/knowledge/categories"), call("GET", "/api/v1/knowledge/collections")]);
    $("#categories", root).replaceChildren(...k.data.map((n) => el("option", { value: n })));
    $("#collections", root).replaceChildren(...c.data.map((n) => el("option", { value: n })));
  } catch (e) {
    lost(e); // names that are not suggested can be typed
  }
}

function turn(by) {
  skip = Math.max(0, skip + by);
  list();
}

async function list() {
  const table = $("#list", root);
  try {
    const { data: page } = await call("GET", `/api/v1/knowledge/documents?skip=${skip}&limit=${pageSize}`);
    if (!table.isConnected) return;
    problem(root, null);
    const to = skip + page.items.length;
    $("caption", table).textContent = page.total === 0 ? "No documents yet." : `${page.total} documents, newest first; ${skip + 1} to ${to}`;
    $("tbody", table).replaceChildren(...page.items.map(row));
    $("#newer", root).disabled = skip === 0;
    $("#older", root).disabled = to >= page.total;
  } catch (e) {
    if (table.isConnected && !lost(e)) problem(root, e);
  }
}

function row(d) {
  const state = { indexed: "searchable", failed: "failed", indexing: `by words; ${d.chunks_embedded} of ${d.chunks} by meaning` }[d.state] || d.state;
  const gone = el("button", { type: "button", class: "danger", "aria-label": `Remove ${d.title}` }, "Remove");
  gone.addEventListener("click", () => remove(d));
  const when = new Date(d.updated_at);
  return el("tr", { "data-state": d.state },
    el("th", { scope: "row", title: d.filename }, d.title), el("td", {}, d.category), el("td", {}, d.collection), el("td", {}, String(d.chunks)),
    el("td", { title: d.error || "" }, state), el("td", {}, el("time", { datetime: d.updated_at }, when.toLocaleString())), el("td", {}, gone));
}

async function remove(d) {
  if (!(await sure(`Remove “${d.title}”, with its ${passages(d.chunks)}? It is gone from every search at once.`))) return;
  try {
    await call("DELETE", `/api/v1/knowledge/documents/${d.id}`);
    say(`${d.title} is removed`);
  } catch (e) {
    if (lost(e)) return;
    problem(root, e);
    return;
  }
  list();
}

function take(files) {
  if (!form.reportValidity()) return;
  const fields = { category: form.elements.category.value.trim(), collection: form.elements.collection.value.trim() };
  for (const f of files) {
    const line = entry(f);
    if (f.size > largest) line.end("failed", `has ${(f.size / (1 << 20)).toFixed(1)} MiB; a document may have 20`);
    else if (f.size === 0) line.end("failed", "is empty");
    else waiting.push({ f, fields, line });
  }
  next();
}

function next() {
  while (busy < atOnce && waiting.length) {
    busy++;
    const job = waiting.shift();
    send(job).finally(() => {
      busy--;
      next();
    });
  }
}

async function send({ f, fields, line }) {
  try {
    line.step("uploading", 0, f.size);
    const d = await upload(f, fields, (sent, total) => (sent < total ? line.step("uploading", sent, total) : line.step("reading")));
    list();
    let last = d;
    if (d.state === "indexing") {
      await follow(`/api/v1/knowledge/documents/${d.id}/progress`, (now) => {
        last = now;
        line.step("embedding", now.chunks_embedded, now.chunks);
      });
    }
    if (last.state === "failed") line.end("failed", last.error || "could not be indexed");
    else line.end("done", `${passages(d.chunks_added)}, searchable`);
    list();
  } catch (e) {
    if (!lost(e)) line.end("failed", e.message);
  }
}

/** A line for one file with its progress. */
function entry(f) {
  const bar = el("progress", { "aria-label": f.name });
  const text = el("span", { class: "state" }, "waiting");
  const li = el("li", {}, el("span", { class: "name" }, f.name), bar, text);
  $("#uploads", root).prepend(li);
  for (const old of $$("#uploads li", root).slice(50)) if (old.dataset.state) old.remove();
  return {
    step(what, done, of) {
      text.textContent = of ? `${what}, ${Math.floor((100 * done) / of)} %` : what;
      if (of) {
        bar.max = of;
        bar.value = done;
      } else bar.removeAttribute("value");
    },
    end(state, why) {
      li.dataset.state = state;
      text.textContent = why;
      bar.remove();
      say(`${f.name}: ${why}`);
    },
  };
}

/** Takes a key; whether it meant something. */
export function key(e) {
  if (e.key !== "u") return false;
  form.elements.file.click();
  return true;
}
