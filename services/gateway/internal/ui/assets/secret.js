// What the secret of a link is for: an invitation, or a password chosen anew. The
// secret is the fragment of the address, which a browser sends to nobody; from here it
// goes into the bodies of calls alone.
import { $, problem, stamp } from "/ui/dom.js";
import { Problem, call } from "/ui/api.js";

const invitation = "cci_", reset = "ccp_";

const kept = "secret"; // while the page is loaded again

/** The secret in the address, or of the page that is loaded again; null when there is none. */
export function secret() {
  const text = sessionStorage.getItem(kept) || location.hash.slice(1).trim();
  sessionStorage.removeItem(kept);
  return text.startsWith(invitation) || text.startsWith(reset) ? text : null;
}

/** Goes on as if there had been no link. */
const forget = () => history.replaceState(null, "", "/ui#/search");

/** Loads the page again, for the same link. */
function again(token) {
  sessionStorage.setItem(kept, token);
  location.reload();
}

const day = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });

/** Puts texts into the elements that ask for them. */
function fill(root, texts) {
  for (const [name, text] of Object.entries(texts)) {
    for (const e of root.querySelectorAll(`[data-text=${name}]`)) e.textContent = text;
  }
}

/** Has a form send what it holds: one at a time, with its fault beside it. */
function sends(form, send) {
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = $("button.main", form);
    button.disabled = true;
    problem(form, null);
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (err) {
      problem(form, err);
      const word = $("[name$=password]", form);
      if (word) word.select(); // and is typed over
      else button.focus();
    } finally {
      button.disabled = false;
    }
  });
  const shows = $("[name=shows]", form);
  if (shows) {
    shows.addEventListener("change", () => {
      for (const i of form.querySelectorAll("[name$=password]")) i.type = shows.checked ? "text" : "password";
    });
    shows.removeAttribute("name"); // is no part of what is sent
  }
}

/**
 * Shows what the link is for. done(who) goes on: to the product with the project of an
 * invitation, or to the login with an address.
 */
export async function open(main, token, done) {
  main.replaceChildren(stamp("t-wait"));
  history.replaceState(null, "", "/ui"); // who looks over a shoulder, or at this page later, reads no secret
  document.title = (token.startsWith(reset) ? "A new password" : "An invitation") + " · CommandCenter";
  try {
    if (token.startsWith(reset)) await showReset(main, token, done);
    else await showInvitation(main, token, done);
  } catch (e) {
    refused(main, token, e);
  }
}

function refused(main, token, e) {
  main.replaceChildren(stamp("t-refused"));
  problem(main, e);
  const gone = e instanceof Problem && (e.status === 403 || e.status === 404 || e.status === 422);
  fill(main, { todo: !gone ? "The link may be fine: open it again in a moment."
    : token.startsWith(reset) ? "Ask whoever sent it for another one: a superuser makes one with commandcenter user reset-password."
    : "Ask whoever invited you for another one: they make one with commandcenter member invite. If you have joined already, log in." });
  $("#again", main).hidden = gone;
  $("#again", main).addEventListener("click", () => again(token));
  $("#to-login", main).addEventListener("click", () => { forget(); location.reload(); });
  $("h1", main).focus();
}

async function showReset(main, token, done) {
  const { data } = await call("POST", "/api/v1/auth/password-reset/show", { body: { token } });
  main.replaceChildren(stamp("t-reset"));
  fill(main, { email: data.email, until: day(data.expires_at) });
  const form = $("#reset");
  form.elements.username.value = data.email; // for what keeps passwords
  sends(form, async ({ new_password }) => {
    await call("POST", "/api/v1/auth/password-reset", { body: { token, new_password } });
    forget();
    done({ email: data.email, why: "The password is changed, and every session has ended. Log in with the new one." });
  });
  form.elements.new_password.focus();
}

async function showInvitation(main, token, done) {
  const { data } = await call("POST", "/api/v1/invitations/show", { body: { token } });
  let me = null;
  try {
    me = (await call("GET", "/api/v1/auth/me")).data;
  } catch (e) {
    if (!(e instanceof Problem) || e.status !== 401 && e.status !== 403) throw e; // switched off: as good as nobody
  }
  main.replaceChildren(stamp("t-invitation"));
  fill(main, { project: data.project, role: data.role, inviter: data.inviter, until: day(data.expires_at) });
  const accept = async () => {
    const { data: project } = await call("POST", "/api/v1/invitations/accept", { body: { token } });
    forget();
    done({ project: project.id });
  };
  if (me) return here(main, me, data, accept, token);
  $("#newcomer").hidden = $("#known").hidden = false;
  if (data.email) {
    for (const form of [$("#newcomer"), $("#known")]) {
      form.elements.email.value = data.email;
      form.elements.email.readOnly = true;
    }
  }
  sends($("#newcomer"), async ({ email, password, full_name }) => {
    await call("POST", "/api/v1/auth/register", { body: { email, password, full_name: full_name || null, invitation: token } });
    forget();
    try {
      await call("POST", "/api/v1/auth/browser", { body: { email, password } });
    } catch (e) {
      return done({ email, why: `The account is made, and you have joined. Log in. (${e.message})` });
    }
    done({ project: null }); // it is the default one
  });
  sends($("#known"), async ({ email, password }) => {
    await call("POST", "/api/v1/auth/browser", { body: { email, password } });
    await accept();
  });
  $(data.email ? "#newcomer [name=full_name]" : "#newcomer [name=email]").focus();
}

/** An invitation for somebody who is logged in. */
function here(main, me, data, accept, token) {
  const form = $("#join");
  form.hidden = false;
  const other = data.email && data.email.toLowerCase() !== me.email.toLowerCase();
  fill(main, { me: me.email, other: other ? `The invitation is for ${data.email}, and works with that account alone.` : "" });
  $("button.main", form).disabled = Boolean(other);
  sends(form, accept);
  $("#leave").addEventListener("click", async () => {
    try {
      await call("POST", "/api/v1/auth/logout");
    } catch (e) {
      if (!(e instanceof Problem) || e.status !== 401) return problem(form, e);
    }
    again(token);
  });
  $(other ? "#leave" : "#join button.main").focus();
}
