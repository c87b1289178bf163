// Calls of the API by the session's cookie.

let project = null; // id, null: the caller's default

export const setProject = (id) => { project = id; };

/** What an answer of a problem (RFC 9457) says to a person. */
export class Problem extends Error {
  constructor(status, body, after) {
    const d = body && body.detail;
    let text = Array.isArray(d) ? d.map((f) => `${f.loc.slice(1).join(".") || f.loc[0]}: ${f.msg}`).join("; ") : d;
    text ||= (body && body.title) || `The server answered ${status}`;
    if (status === 429 && after) text += ` (try again in ${after} s)`;
    if (status >= 500 && body && body.request_id) text += ` (request ${body.request_id})`;
    super(text);
    this.status = status;
  }
}

const unreachable = () => new Problem(0, { detail: "The server cannot be reached. What you typed is still here; try again." });

function headers(extra) {
  const h = { Accept: "application/json", ...extra };
  if (project) h["X-Project-ID"] = String(project);
  return h;
}

async function failed(r) {
  let body = null;
  try { body = await r.json(); } catch { /* a proxy's page */ }
  return new Problem(r.status, body, r.headers.get("Retry-After"));
}

/** One call; its answer with the parsed body as `data`. */
export async function call(method, path, { body, signal, extra } = {}) {
  let r;
  try {
    r = await fetch(path, {
      method, signal, credentials: "same-origin", cache: "no-store",
      headers: headers({ ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...extra }),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    throw e.name === "AbortError" ? e : unreachable();
  }
  if (!r.ok) throw await failed(r);
  if (r.status === 202) return settled(r.headers.get("Location"), signal);
  const text = r.status === 204 ? "" : await r.text();
  return { data: text ? JSON.parse(text) : null, headers: r.headers };
}

/** Waits until a write that was accepted has ended. */
async function settled(location, signal) {
  for (;;) {
    const { data: o } = await call("GET", location + "?wait=30", { signal });
    if (o.status === "pending") continue;
    if (o.status === "failed") throw new Problem(o.http_status, o.answer);
    return { data: o.answer, headers: new Headers() };
  }
}

/** Sends a file; told(sent, total) as its bytes go out. */
export function upload(file, fields, told) {
  const form = new FormData();
  for (const [k, v] of Object.entries(fields)) if (v) form.append(k, v);
  form.append("file", file, file.name);
  const x = new XMLHttpRequest();
  return new Promise((done, fail) => {
    x.upload.onprogress = (e) => told(e.loaded, e.total);
    x.onerror = () => fail(unreachable());
    x.onload = () => {
      let body = null;
      try { body = JSON.parse(x.responseText); } catch { /* a proxy's page */ }
      if (x.status === 202) settled(x.getResponseHeader("Location")).then((a) => done(a.data), fail);
      else if (x.status < 300) done(body);
      else fail(new Problem(x.status, body, x.getResponseHeader("Retry-After")));
    };
    x.open("POST", "/api/v1/knowledge/documents");
    for (const [k, v] of Object.entries(headers())) x.setRequestHeader(k, v);
    x.send(form);
  });
}

/** Follows a stream of events to its end; heard(data) for each. */
export async function follow(path, heard) {
  const r = await fetch(path, { headers: headers({ Accept: "text/event-stream" }), credentials: "same-origin" });
  if (!r.ok) throw await failed(r);
  await events(r, (_, data) => heard(data));
}

/** Sends something that is answered with a stream of events; heard(name, data) for each. */
export async function hear(path, { body, signal }, heard) {
  let r;
  try {
    r = await fetch(path, {
      method: "POST", signal, credentials: "same-origin", cache: "no-store",
      headers: headers({ Accept: "text/event-stream", "Content-Type": "application/json" }), body: JSON.stringify(body),
    });
  } catch (e) {
    throw e.name === "AbortError" ? e : unreachable();
  }
  if (!r.ok) throw await failed(r);
  try {
    await events(r, heard);
  } catch (e) {
    throw e instanceof TypeError ? unreachable() : e; // the connection is gone
  }
}

async function events(r, heard) {
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split("\n\n");
    rest = frames.pop();
    for (const f of frames) {
      const of = (field) => f.split("\n").filter((l) => l.startsWith(field)).map((l) => l.slice(field.length).trim()).join("\n");
      const data = of("data:");
      if (data) heard(of("event:"), JSON.parse(data));
    }
  }
}
