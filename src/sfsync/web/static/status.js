// Keeps the status page fresh. The page is complete without it; nothing here knows what the sections say.
"use strict";

const EVERY_MS = 2000;
const main = document.getElementById("status");
const silent = document.getElementById("silent");
const tokenForm = document.getElementById("token");
const wrong = document.getElementById("wrong");
const search = document.getElementById("search");
const secret = document.getElementById("secret");

let timer = 0;
let asking = null; // the request under way
let heard = main.hidden ? null : new Date();

function token() {
  return sessionStorage.getItem("sfsync-token");
}

function address() {
  const sku = search.elements.sku.value.trim();
  return "/status.fragment" + (sku ? "?sku=" + encodeURIComponent(sku) : "");
}

// Sections that did not change stay as they are, so that a selection or a screen reader is not disturbed.
function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const sections = [...fresh.body.children];
  const ids = new Set(sections.map((section) => section.id));
  for (const old of [...main.children]) if (!ids.has(old.id)) old.remove();
  sections.forEach((section, place) => {
    const old = document.getElementById(section.id);
    if (!old) main.insertBefore(section, main.children[place] || null);
    else if (section.id === "health") fill(old, section); // a live region must stay to be read out
    else if (old.innerHTML !== section.innerHTML) old.replaceWith(section);
  });
}

function fill(old, section) {
  if (old.innerHTML !== section.innerHTML) old.replaceChildren(...section.childNodes);
}

function tell(words) {
  silent.textContent = words;
  silent.hidden = !words;
}

function ask(known) {
  main.hidden = search.hidden = true;
  tokenForm.hidden = false;
  wrong.hidden = !known;
  tell("");
}

async function refresh() {
  clearTimeout(timer);
  if (asking) asking.abort();
  const request = (asking = new AbortController());
  const limit = setTimeout(() => request.abort(), 10000);
  const headers = token() ? { Authorization: "Bearer " + token() } : {};
  try {
    const answer = await fetch(address(), { headers, signal: request.signal });
    if (answer.status === 401 || answer.status === 403) {
      const known = token() !== null;
      sessionStorage.removeItem("sfsync-token");
      ask(known);
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    show(await answer.text());
    heard = new Date();
    tell("");
    tokenForm.hidden = true;
    main.hidden = search.hidden = false;
  } catch {
    if (request !== asking) return; // a newer request has taken over
    const since = heard ? " What stands here is from " + heard.toLocaleTimeString() + "." : "";
    tell("The daemon does not answer." + since);
  } finally {
    clearTimeout(limit);
    if (request === asking) {
      asking = null;
      if (tokenForm.hidden && !document.hidden) timer = setTimeout(refresh, EVERY_MS);
    }
  }
}

search.addEventListener("submit", (event) => {
  event.preventDefault();
  const sku = search.elements.sku.value.trim();
  history.replaceState(null, "", sku ? "/?sku=" + encodeURIComponent(sku) : "/");
  refresh();
});
search.elements.sku.addEventListener("search", () => search.requestSubmit()); // the field's own clear button

tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("sfsync-token", secret.value.trim());
  secret.value = "";
  refresh();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && tokenForm.hidden) refresh();
});

if (!main.hidden) timer = setTimeout(refresh, EVERY_MS);
else if (token()) refresh();
