// What an operator decides, behind a link: asked once more in a dialog, sent to the API, and answered there. Without
// this script the link leads to a page with the same form.
"use strict";

const DAYS = 14;
let formToken = document.querySelector("meta[name=sfsync-form]")?.content || null;

// A dialog with one form: `send` gives the request's address and body, `done` the words when it went well.
function act(id, send, done) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  const answer = dialog.querySelector(".answer");
  const button = dialog.querySelector("button.main");
  const operator = dialog.querySelector(".operator");
  const secret = form.elements.token;

  function say(words, state) {
    answer.textContent = words;
    answer.className = "answer " + (state || "");
  }

  function open() {
    operator.hidden = formToken !== null;
    secret.value = "";
    button.disabled = false;
    say("");
    dialog.showModal();
  }

  function whoAsks(words) {
    operator.hidden = false;
    secret.value = "";
    secret.focus();
    say("This needs an operator’s token. " + words, "bad");
    return false;
  }

  async function take() {
    if (secret.value) {
      const refused = await logIn(secret.value, form.elements.by?.value);
      if (refused) return whoAsks(refused);
    }
    if (formToken === null) return whoAsks("Give one.");
    const [address, body] = send();
    const reply = await post(address, body);
    const told = await reply.json();
    if (reply.status === 401 || reply.status === 403) return whoAsks(told.detail);
    say(reply.ok ? done(told) : told.detail, reply.ok ? "good" : "bad");
    return reply.ok;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true; // a second click while the first is on its way
    say("Asking…");
    let over = false;
    try {
      over = await take();
    } catch {
      say("The daemon does not answer. The same again is safe: it is done once.", "bad");
    }
    button.disabled = over;
  });
  dialog.querySelector(".leave").addEventListener("click", () => dialog.close());
  return { dialog, form, button, open };
}

function post(address, body) {
  const headers = { "X-Form-Token": formToken };
  if (body !== null) headers["Content-Type"] = "application/json";
  return fetch(address, { method: "POST", headers, body: body === null ? null : JSON.stringify(body) });
}

// Why it was refused, or nothing. Everything that follows is the operator's, on this page and the others.
async function logIn(token, person) {
  const headers = { Accept: "application/json" };
  const reply = await fetch("/login", { method: "POST", headers, body: new URLSearchParams({ token, person: person || "" }) });
  const told = await reply.json();
  if (!reply.ok) return told.detail;
  formToken = told.form;
  return "";
}

// The ways out of an incident.
{
  const places = document.getElementById("places");
  let incident = null;

  const told = (answer) =>
    answer.stage === "asked" ? "Written down. It is done when the org or the channel answers." : answer.answer || "Done.";
  const { dialog, form, open } = act("resolve", () => ["/v1/incidents/" + incident.id + "/resolution", wish()], told);
  const fields = form.elements;

  // Only what belongs to the chosen way is shown.
  function arrange() {
    for (const piece of form.querySelectorAll("[data-for]")) {
      piece.hidden = !piece.dataset.for.split(" ").includes(fields.way.value);
    }
    if (fields.promise.options.length < 2) fields.promise.closest("label").hidden = true;
  }

  function option(order) {
    const lacks = order.covered ? "has its stock" : "no stock covers it";
    return new Option(order.order + " at " + order.channel + ", " + order.units + ": " + lacks, order.promise);
  }

  function begin(button) {
    incident = JSON.parse(button.dataset.incident);
    const name = fields.by.value;
    form.reset();
    fields.by.value = name;
    document.getElementById("resolve-title").textContent = incident.title;
    document.getElementById("resolve-what").textContent = "Incident " + incident.id;
    for (const radio of form.querySelectorAll("[name=way]")) {
      radio.closest("label").hidden = !incident.ways.includes(radio.value);
      radio.checked = radio.value === incident.ways[0];
    }
    const able = incident.orders.filter((order) => /^(order|reservation):/.test(order.promise));
    fields.promise.replaceChildren(...able.map(option));
    fields.until.value = new Date(Date.now() + DAYS * 86400000).toISOString().slice(0, 10);
    fields.until.min = new Date(Date.now() + 86400000).toISOString().slice(0, 10);
    arrange();
    open();
    suggest();
  }

  // Where the org has units: a help to type, no more; only the org grants them.
  async function suggest() {
    places.replaceChildren();
    if (!incident.sku || !incident.ways.includes("move")) return;
    try {
      const answer = await fetch("/status.json?sku=" + encodeURIComponent(incident.sku));
      const found = (await answer.json()).levels.find((entry) => entry.sku === incident.sku);
      for (const level of found ? found.levels : []) {
        if (level.available > 0) places.append(new Option(level.available + " available", level.location));
      }
    } catch {
      // Nothing to suggest.
    }
  }

  function wish() {
    const way = fields.way.value;
    const wished = { way, reason: fields.reason.value.trim(), by: fields.by.value.trim() || null };
    if ((way === "move" || way === "cancel") && fields.promise.value) wished.promise = fields.promise.value;
    if (way === "move") wished.location = fields.location.value.trim();
    if (way === "substitute") {
      wished.sku = fields.sku.value.trim();
      wished.location = fields.location.value.trim() || null;
    }
    if (way === "wait") wished.until = fields.until.value + "T23:59:59Z";
    if (way === "cancel") for (const flag of ["whole_order", "refund", "notify"]) wished[flag] = fields[flag].checked;
    return wished;
  }

  form.addEventListener("change", (event) => {
    if (event.target.name === "way") arrange();
  });
  dialog.addEventListener("close", () => {
    const same = [...document.querySelectorAll(".resolve")].find(
      (button) => JSON.parse(button.dataset.incident).id === incident.id,
    );
    if (same) same.focus(); // the section may have been told anew meanwhile
  });
  document.getElementById("status").addEventListener("click", (event) => {
    const link = event.target.closest(".resolve");
    if (!link) return;
    event.preventDefault();
    begin(link);
  });
}

// The switch of a limited edition.
{
  let edition = null;
  const address = () => "/v1/editions/" + encodeURIComponent(edition.name) + "/" + edition.word;
  const { button, open } = act(
    "switch",
    () => [address(), null],
    (answer) => edition.name + " is " + answer.state + ".",
  );

  function begin(pressed) {
    edition = { name: pressed.dataset.edition, word: pressed.dataset.word };
    const opens = edition.word === "open";
    document.getElementById("switch-title").textContent = (opens ? "Open " : "Close ") + edition.name + "?";
    document.getElementById("switch-what").textContent = opens
      ? "Every channel gets its number and reservations are granted, from this moment on."
      : "Every channel shows nothing of it and reservations are refused. What is reserved stays reserved.";
    button.textContent = opens ? "Open it everywhere" : "Close it everywhere";
    open();
  }

  document.getElementById("status").addEventListener("click", (event) => {
    const pressed = event.target.closest(".switch");
    if (!pressed) return;
    event.preventDefault();
    begin(pressed);
  });
}
