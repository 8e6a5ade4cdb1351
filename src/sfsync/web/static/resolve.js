// The ways out of an incident, behind its "Resolve…" button. What is decided goes to the API as an operator's.
"use strict";

const dialog = document.getElementById("resolve");
const form = document.getElementById("resolution");
const places = document.getElementById("places");
const operator = document.getElementById("operator");
const answer = document.getElementById("answer");
const act = document.getElementById("do");
const fields = form.elements;
const DAYS = 14;

let incident = null;

function operatorsToken() {
  return sessionStorage.getItem("sfsync-operator") || token();
}

function say(words, state) {
  answer.textContent = words;
  answer.className = "answer " + (state || "");
}

function chosen() {
  return fields.way.value;
}

// Only what belongs to the chosen way is shown.
function arrange() {
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(chosen());
  }
  if (fields.promise.options.length < 2) fields.promise.closest("label").hidden = true;
}

function option(order) {
  const lacks = order.covered ? "has its stock" : "no stock covers it";
  return new Option(order.order + " at " + order.channel + ", " + order.units + ": " + lacks, order.promise);
}

function open(button) {
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
  const day = new Date(Date.now() + DAYS * 86400000);
  fields.until.value = day.toISOString().slice(0, 10);
  fields.until.min = new Date(Date.now() + 86400000).toISOString().slice(0, 10);
  operator.hidden = operatorsToken() !== null;
  act.disabled = false;
  say("");
  arrange();
  dialog.showModal();
  suggest();
}

// Where the org has units: a help to type, no more; only the org grants them.
async function suggest() {
  places.replaceChildren();
  if (!incident.sku || !incident.ways.includes("move")) return;
  try {
    const headers = operatorsToken() ? { Authorization: "Bearer " + operatorsToken() } : {};
    const told = await fetch("/status.json?sku=" + encodeURIComponent(incident.sku), { headers });
    const found = (await told.json()).levels.find((entry) => entry.sku === incident.sku);
    for (const level of found ? found.levels : []) {
      if (level.available > 0) places.append(new Option(level.available + " available", level.location));
    }
  } catch {
    // Nothing to suggest.
  }
}

function wish() {
  const way = chosen();
  const told = { way, reason: fields.reason.value.trim(), by: fields.by.value.trim() || null };
  if ((way === "move" || way === "cancel") && fields.promise.value) told.promise = fields.promise.value;
  if (way === "move") told.location = fields.location.value.trim();
  if (way === "wait") told.until = fields.until.value + "T23:59:59Z";
  if (way === "cancel") for (const flag of ["whole_order", "refund", "notify"]) told[flag] = fields[flag].checked;
  return told;
}

async function take() {
  if (fields.token.value) sessionStorage.setItem("sfsync-operator", fields.token.value.trim());
  const headers = { "Content-Type": "application/json", Authorization: "Bearer " + operatorsToken() };
  const address = "/v1/incidents/" + incident.id + "/resolution";
  const reply = await fetch(address, { method: "POST", headers, body: JSON.stringify(wish()) });
  const told = await reply.json();
  if (reply.status === 401 || reply.status === 403) {
    sessionStorage.removeItem("sfsync-operator");
    operator.hidden = false;
    fields.token.value = "";
    fields.token.focus();
    say("This needs an operator’s token. " + told.detail, "bad");
    return false;
  }
  if (!reply.ok) {
    say(told.detail, "bad");
    return false;
  }
  const asked = told.stage === "asked";
  say(asked ? "Written down. It is done when the org or the channel answers." : told.answer || "Done.", "good");
  return true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  act.disabled = true; // a second click while the first is on its way
  say("Asking…");
  let done = false;
  try {
    done = await take();
  } catch {
    say("The daemon does not answer. The same again is safe: it is done once.", "bad");
  }
  act.disabled = done;
  refresh();
});

form.addEventListener("change", (event) => {
  if (event.target.name === "way") arrange();
});

document.getElementById("leave").addEventListener("click", () => dialog.close());

dialog.addEventListener("close", () => {
  const same = [...document.querySelectorAll(".resolve")].find(
    (button) => JSON.parse(button.dataset.incident).id === incident.id,
  );
  if (same) same.focus(); // the section may have been told anew meanwhile
});

main.addEventListener("click", (event) => {
  const button = event.target.closest(".resolve");
  if (button) open(button);
});
