// A sheet of counts on this device: scanned or typed, kept until the daemon has taken it, each line entered once.
"use strict";

const PART = 100; // counts in one request
const field = (id) => document.getElementById(id);
const tokenForm = field("token");
const counting = field("counting");
const KEPT = ["location", "by", "reason"];

let sheet = JSON.parse(localStorage.getItem("sfsync-sheet") || "[]"); // {sku, unit, location, by, reason, units, at, said}
let sending = false;

const formToken = document.querySelector("meta[name=sfsync-form]")?.content; // of who has logged in

function token() {
  return sessionStorage.getItem("sfsync-token");
}

// A token that was typed here counts before a log-in: it may be one that can do more.
function credentials() {
  return token() ? { Authorization: "Bearer " + token() } : { "X-Form-Token": formToken };
}

function tell(words) {
  field("silent").textContent = words;
  field("silent").hidden = !words;
}

function askToken(words) {
  counting.hidden = true;
  tokenForm.hidden = false;
  field("wrong").textContent = words;
  field("wrong").hidden = !words;
  field("secret").focus();
}

function open() {
  tokenForm.hidden = true;
  counting.hidden = false;
  draw();
  (field("location").value ? field("code") : field("location")).focus();
}

async function post(counts, how) {
  const answer = await fetch("/v1/counts", {
    method: "POST",
    headers: { ...credentials(), "Content-Type": "application/json" },
    body: JSON.stringify({ counts, ...how }),
    signal: AbortSignal.timeout(60000),
  });
  if (answer.status === 401 || answer.status === 403) {
    const problem = await answer.json();
    sessionStorage.removeItem("sfsync-token");
    askToken(problem.detail);
    return null;
  }
  return { status: answer.status, told: await answer.json() };
}

function asCount(line) {
  const count = { sku: line.sku, location: line.location, quantity: line.units, counted_at: line.at };
  if (line.unit) count.unit = line.unit;
  if (line.by) count.counted_by = line.by;
  if (line.reason) count.reason = line.reason;
  return count;
}

// A line's moment is that of its last touch: then the shelf was looked at.
function touch(line, units) {
  line.units = units;
  line.at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  line.said = "";
  line.state = "";
}

function add(code) {
  const location = field("location").value.trim();
  if (!location) {
    field("place").reportValidity();
    return;
  }
  const [sku, unit] = code.split("|").map((part) => part.trim());
  if (!sku) return;
  let line = sheet.find((each) => each.sku === sku && each.unit === (unit || "") && each.location === location);
  if (line) {
    const refused = line.state === "bad";
    touch(line, unit ? 1 : line.units + 1);
    if (refused) check(line);
    sheet.splice(sheet.indexOf(line), 1);
  } else {
    line = { sku, unit: unit || "", location, by: field("by").value.trim(), reason: field("reason").value.trim() };
    touch(line, 1);
    check(line);
  }
  sheet.unshift(line); // what was scanned last stands first
  keep();
}

// A wrong code, or a number that nobody believes, is told at once, while the piece is still in the hand.
async function check(line) {
  try {
    const answer = await post([asCount(line)], { dry_run: true });
    const error = answer && answer.status !== 503 && (answer.told.errors || [])[0];
    if (error && error.kind !== "id-reused" && !line.state) say(line, "bad", advice(error));
  } catch {
    // The daemon is away: the sheet stays here, and is checked when it is entered.
  }
}

function say(line, state, words) {
  line.state = state;
  line.said = words;
  keep();
}

function advice(error) {
  const words = error.detail + ": " + (error.remedy || "correct it");
  return words[0].toUpperCase() + words.slice(1) + ".";
}

function keep() {
  localStorage.setItem("sfsync-sheet", JSON.stringify(sheet));
  draw();
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function named(line) {
  const head = element("div");
  head.append(element("span", "sku-name", line.sku));
  head.append(element("span", "where", [line.unit, line.location].filter(Boolean).join(" · ")));
  return head;
}

function stepper(line) {
  const made = element("div", "stepper");
  const step = (text, label, by) => {
    const button = element("button", "", text);
    button.type = "button";
    button.setAttribute("aria-label", label + " " + line.sku);
    button.addEventListener("click", () => {
      if (line.units + by < 0) sheet.splice(sheet.indexOf(line), 1);
      else touch(line, line.units + by);
      keep();
    });
    return button;
  };
  const number = element("input");
  number.type = "number";
  number.min = "0";
  number.inputMode = "numeric";
  number.value = line.units;
  number.setAttribute("aria-label", "Units of " + line.sku);
  number.addEventListener("change", () => {
    const units = Number(number.value);
    if (!number.value || !Number.isInteger(units) || units < 0 || units > 999999999) number.value = line.units;
    else {
      touch(line, units);
      check(line);
    }
    keep();
  });
  made.append(step(line.units ? "−" : "×", line.units ? "One less of" : "Take off the sheet:", -1), number);
  made.append(step("+", "One more of", 1));
  return made;
}

function draw() {
  const lines = sheet.map((line) => {
    const item = element("li");
    item.append(named(line), stepper(line));
    if (line.said) item.append(element("p", "said " + line.state, line.said));
    return item;
  });
  field("lines").replaceChildren(...lines);
  field("empty").hidden = sheet.length > 0;
  const others = misplaced().length;
  field("moved").hidden = !others;
  field("moved").firstElementChild.textContent =
    (others === 1 ? "The refused line was" : "The " + others + " refused lines were") + " counted at " + field("location").value.trim();
  const button = field("enter");
  button.disabled = sending || !sheet.length;
  button.textContent = sending ? "Entering …" : sheet.length ? "Enter " + counted(sheet.length) : "Enter";
}

// Lines that were refused at another location than the one named above: perhaps it was mistyped.
function misplaced() {
  const location = field("location").value.trim();
  const there = (line) => sheet.some((each) => each !== line && each.sku === line.sku && each.unit === line.unit && each.location === location);
  return location ? sheet.filter((line) => line.state === "bad" && line.location !== location && !there(line)) : [];
}

// They keep their moment: the shelf was looked at then.
function move() {
  for (const line of misplaced()) {
    Object.assign(line, { location: field("location").value.trim(), said: "", state: "" });
    check(line);
  }
  keep();
}

function counted(n) {
  return n === 1 ? "1 count" : n + " counts";
}

function entered(line, row) {
  const item = element("li");
  item.append(named(line), element("span", "units", row.quantity));
  const off = row.variance;
  const words =
    row.state === "waiting"
      ? "Written down; it is entered when the org answers."
      : off === 0
        ? "As in the books."
        : (off > 0 ? "+" + off : "−" + -off) + ": the books had " + row.expected + ".";
  item.append(element("p", "said " + (row.state === "waiting" ? "" : off === 0 ? "right" : "off"), words));
  field("entered").prepend(item);
  field("done").hidden = false;
}

async function enter() {
  sending = true;
  tell("");
  draw();
  const waiting = [...sheet];
  try {
    for (let start = 0; start < waiting.length; start += PART) {
      const part = waiting.slice(start, start + PART);
      const answer = await post(part.map(asCount), { partial: true });
      if (!answer) return;
      take(part, answer.told, answer.status);
    }
  } catch {
    tell("The daemon does not answer. The sheet stays on this device; enter it again, nothing counts twice.");
  } finally {
    sending = false;
    keep();
  }
}

function take(part, told, status) {
  const errors = told.errors || [];
  for (const error of errors) {
    const row = error.row || Number((/counts\[(\d+)\]/.exec(error.field) || [])[1]) + 1;
    if (part[row - 1]) say(part[row - 1], "bad", advice(error));
  }
  if (!told.counts) {
    tell(told.detail || "The daemon answered " + status + ".");
    return;
  }
  told.counts.forEach((row, number) => {
    if (row.state !== "entered" && row.state !== "waiting") return;
    sheet.splice(sheet.indexOf(part[number]), 1);
    entered(part[number], row);
  });
}

// -- the camera, where the browser reads barcodes by itself

let stream = null;
let last = "";

async function look() {
  if (stream) {
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
  } else {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      tell("The camera cannot be used: " + error.message);
      return;
    }
    field("view").srcObject = stream;
    await field("view").play();
    watch(new BarcodeDetector());
  }
  field("view").hidden = !stream;
  field("camera").setAttribute("aria-pressed", String(Boolean(stream)));
}

async function watch(detector) {
  while (stream) {
    const [found] = await detector.detect(field("view")).catch(() => []);
    const code = found ? found.rawValue : "";
    if (code && code !== last) add(code); // the same piece in view counts once; look away to count the next
    last = code;
    await new Promise((go) => setTimeout(go, 250));
  }
}

if ("BarcodeDetector" in window && navigator.mediaDevices) field("camera").hidden = false;
field("camera").addEventListener("click", look);

field("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  add(field("code").value.trim());
  if (field("location").value.trim()) field("code").value = "";
  field("code").focus();
});
field("place").addEventListener("submit", (event) => event.preventDefault());
for (const name of KEPT) {
  field(name).value = localStorage.getItem("sfsync-" + name) || "";
  field(name).addEventListener("change", () => localStorage.setItem("sfsync-" + name, field(name).value.trim()));
}
field("location").addEventListener("change", draw);
field("moved").addEventListener("click", move);
field("enter").addEventListener("click", enter);
tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("sfsync-token", field("secret").value.trim());
  field("secret").value = "";
  open();
});

if (token() || formToken) open();
else askToken("");
