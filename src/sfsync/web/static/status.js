// Keeps the status page fresh, by the stream of events. The page is complete without it; nothing here knows what
// the sections say.
"use strict";

const AGAIN_MS = 3000;
const main = document.getElementById("status");
const silent = document.getElementById("silent");
const search = document.getElementById("search");
const part = document.createElement("template");

let stream = null;
let heard = new Date();

function tell(words) {
  silent.textContent = words;
  silent.hidden = !words;
}

// Sections that did not change stay as they are, so that a selection or a screen reader is not disturbed.
function put(id, html, before) {
  const old = document.getElementById(id);
  part.innerHTML = html;
  const fresh = part.content.firstElementChild;
  if (!fresh) old?.remove();
  else if (!old) main.insertBefore(fresh, before);
  else if (id === "health") old.replaceChildren(...fresh.childNodes); // a live region must stay to be read out
  else if (old.innerHTML !== fresh.innerHTML) keepFocus(old, fresh);
}

function keepFocus(old, fresh) {
  const at = [...old.querySelectorAll("button, a, summary")].indexOf(document.activeElement);
  old.replaceWith(fresh);
  if (at >= 0) fresh.querySelectorAll("button, a, summary")[at]?.focus();
}

function show(told) {
  let before = null;
  for (const id of [...told.order].reverse()) {
    if (id in told.changed) put(id, told.changed[id], before);
    before = document.getElementById(id) || before;
  }
}

function listen() {
  stream?.close();
  stream = new EventSource("/events");
  stream.addEventListener("sections", (event) => {
    show(JSON.parse(event.data));
    heard = new Date();
    tell("");
  });
  stream.addEventListener("error", () => {
    tell("The daemon does not answer. What stands here is from " + heard.toLocaleTimeString() + ".");
    stream.close();
    setTimeout(again, AGAIN_MS);
  });
}

// A stream does not tell why it ended: a log-in that is over leads to the form.
async function again() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/status.json", { method: "HEAD" });
    if (answer.status === 401 || answer.status === 403) location.reload();
    else listen();
  } catch {
    setTimeout(again, AGAIN_MS);
  }
}

search.addEventListener("submit", async (event) => {
  event.preventDefault();
  const sku = search.elements.sku.value.trim();
  const query = sku ? "?sku=" + encodeURIComponent(sku) : "";
  try {
    const answer = await fetch("/status.fragment" + query);
    if (!answer.ok) throw new Error("status " + answer.status);
    put("found", await answer.text(), document.getElementById("channels"));
    history.replaceState(null, "", "/" + query);
  } catch {
    search.submit();
  }
});
search.elements.sku.addEventListener("search", () => search.requestSubmit()); // the field's own clear button

// A page that nobody sees asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream?.close();
  else listen();
});

if (!document.hidden) listen();
