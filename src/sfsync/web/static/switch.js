// The switch of a limited edition, behind its button: asked once more, then pressed as an operator.
"use strict";

{
  const dialog = document.getElementById("switch");
  const form = document.getElementById("pressing");
  const secret = form.elements.token;
  const operator = document.getElementById("switch-operator");
  const answer = document.getElementById("switch-answer");
  const press = document.getElementById("press");
  let edition = null;

  const operatorsToken = () => sessionStorage.getItem("sfsync-operator") || token();

  function say(words, state) {
    answer.textContent = words;
    answer.className = "answer " + (state || "");
  }

  function open(button) {
    edition = { name: button.dataset.edition, word: button.dataset.word };
    const opens = edition.word === "open";
    document.getElementById("switch-title").textContent = (opens ? "Open " : "Close ") + edition.name + "?";
    document.getElementById("switch-what").textContent = opens
      ? "Every channel gets its number and reservations are granted, from this moment on."
      : "Every channel shows nothing of it and reservations are refused. What is reserved stays reserved.";
    press.textContent = opens ? "Open it everywhere" : "Close it everywhere";
    press.disabled = false;
    operator.hidden = operatorsToken() !== null;
    secret.value = "";
    say("");
    dialog.showModal();
  }

  async function pressed() {
    if (secret.value) sessionStorage.setItem("sfsync-operator", secret.value.trim());
    const headers = { Authorization: "Bearer " + operatorsToken() };
    const address = "/v1/editions/" + encodeURIComponent(edition.name) + "/" + edition.word;
    const reply = await fetch(address, { method: "POST", headers });
    const told = await reply.json();
    if (reply.status === 401 || reply.status === 403) {
      sessionStorage.removeItem("sfsync-operator");
      operator.hidden = false;
      secret.value = "";
      secret.focus();
      say("This needs an operator’s token. " + told.detail, "bad");
      return false;
    }
    say(reply.ok ? edition.name + " is " + told.state + "." : told.detail, reply.ok ? "good" : "bad");
    return reply.ok;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    press.disabled = true; // a second click while the first is on its way
    say("Asking…");
    let done = false;
    try {
      done = await pressed();
    } catch {
      say("The daemon does not answer. The same again is safe: it is done once.", "bad");
    }
    press.disabled = done;
    refresh();
  });

  document.getElementById("switch-leave").addEventListener("click", () => dialog.close());

  main.addEventListener("click", (event) => {
    const button = event.target.closest(".switch");
    if (button) open(button);
  });
}
