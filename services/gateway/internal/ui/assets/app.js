import { $, $$, el, problem, say, stamp } from "/ui/dom.js";
import { Problem, call, setProject } from "/ui/api.js";
import * as search from "/ui/search.js";
import * as documents from "/ui/documents.js";
import * as link from "/ui/secret.js";

const views = { search, documents };
let view = null; // that is shown

/** The address after '#' as view and parameters, so that a search can be sent to somebody and is in no log of a server. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: views[path] ? path : "search", with: new URLSearchParams(query || "") };
}

function show() {
  if ($("#bar").hidden) return;
  const at = place();
  for (const a of $$("nav a[data-view]")) {
    if (a.dataset.view === at.name) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (view !== views[at.name]) {
    view = views[at.name];
    document.title = `${at.name === "search" ? "Search" : "Documents"} · CommandCenter`;
    $("#main").replaceChildren(stamp("t-" + at.name));
    view.open($("#main"), at.with, lost);
  } else {
    view.moved(at.with);
  }
}

/** What every view does with a fault: a session that has ended leads to the login, all else is shown there. */
function lost(error) {
  if (error instanceof Problem && error.status === 401) {
    login("The session has ended. Log in to go on.");
    return true;
  }
  return false;
}

function login(why, email = "") {
  view = null;
  $("#bar").hidden = true;
  document.title = "Log in · CommandCenter";
  const main = $("#main");
  main.replaceChildren(stamp("t-login"));
  const form = $("#login");
  if (email) {
    $(".note", form).textContent = why;
    $(".note", form).hidden = false;
  } else if (why) problem(main, new Error(why));
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = $("button", form);
    button.disabled = true;
    problem(main, null);
    try {
      await call("POST", "/api/v1/auth/browser", { body: Object.fromEntries(new FormData(form)) });
      await enter();
    } catch (err) {
      problem(main, err);
      form.elements.password.select();
    } finally {
      button.disabled = false;
    }
  });
  offerSignOn($("#sign-on"));
  form.elements.email.value = email;
  form.elements[email ? "password" : "email"].focus();
}

/** Shows the way by an identity provider where there is one: the server would send the browser there. */
async function offerSignOn(link) {
  try {
    const answer = await fetch("/api/v1/auth/oidc/login?return_to=/ui", { method: "HEAD", redirect: "manual" });
    link.hidden = answer.type !== "opaqueredirect";
  } catch { /* the password is a way, too */ }
}

const remembered = {
  get: () => { try { return localStorage.getItem("project"); } catch { return null; } },
  set: (id) => { try { localStorage.setItem("project", id); } catch { /* private window */ } },
};

async function enter(joined) {
  if (joined !== undefined) remembered.set(joined === null ? "" : String(joined));
  setProject(null);
  const { data: projects } = await call("GET", "/api/v1/projects/?limit=1000");
  const select = $("#project");
  select.replaceChildren(...projects.map((p) => el("option", { value: p.id }, p.name)));
  const kept = projects.find((p) => String(p.id) === remembered.get());
  const chosen = kept || projects.find((p) => p.is_default) || projects[0];
  if (chosen) {
    select.value = chosen.id;
    setProject(chosen.id);
  }
  $("#bar").hidden = false;
  view = null;
  if (chosen) show();
  else $("#main").replaceChildren(el("p", {}, "You are in no project yet. Make one: commandcenter project create NAME; or ask for an invitation."));
}

$("#project").addEventListener("change", (e) => {
  setProject(e.target.value);
  remembered.set(e.target.value);
  view = null;
  show();
  say("Project " + e.target.selectedOptions[0].textContent);
});

$("#logout").addEventListener("click", async () => {
  try {
    await call("POST", "/api/v1/auth/logout");
  } catch (e) {
    if (!(e instanceof Problem) || e.status !== 401) return say(e.message);
  }
  login();
});

$("#keys").addEventListener("click", () => $("#help").showModal());
addEventListener("hashchange", () => (link.secret() ? start() : show()));

let before = ""; // the key pressed last, for those of two
addEventListener("keydown", (e) => {
  const typing = e.target.matches("input:not([type=radio]):not([type=range]):not([type=checkbox]), textarea, select");
  if (e.ctrlKey || e.metaKey || e.altKey || $("dialog[open]") || $("#bar").hidden) return;
  if (typing) {
    if (e.key === "Escape") e.target.blur();
    else if (e.key !== "ArrowDown" || e.target.id !== "q") return;
  }
  const two = before + e.key;
  before = e.key === "g" && !typing ? "g" : "";
  if (two === "gs") location.hash = "#/search";
  else if (two === "gd") location.hash = "#/documents";
  else if (e.key === "?") $("#help").showModal();
  else if (e.key === "/" && view !== search) location.hash = "#/search";
  else if (e.key === "u" && view !== documents) location.hash = "#/documents";
  else if (!view || !view.key(e)) return;
  e.preventDefault();
});

/** What the address asks for: what the secret of a link is for, or the product. */
async function start() {
  const token = link.secret();
  if (token) {
    view = null;
    $("#bar").hidden = true;
    setProject(null);
    return link.open($("#main"), token, ({ project, email, why }) => (email ? login(why, email) : enter(project)));
  }
  try {
    await call("GET", "/api/v1/auth/me");
    await enter();
  } catch (e) {
    login(e instanceof Problem && e.status === 401 ? "" : e.message);
  }
}

await start();
