// Follows a comparison that is under way: its section is read again until it has ended, and then the page, which
// has its plan. Without this script the page loads itself again.
"use strict";

const EVERY_MS = 2000;

async function follow() {
  try {
    const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("run");
    if (!fresh || !("running" in fresh.dataset)) {
      location.replace(location.pathname);
      return;
    }
    const told = fresh.querySelector("[role=status]").textContent;
    const here = document.querySelector("#run [role=status]"); // a live region must stay to be read out
    if (here.textContent !== told) here.textContent = told;
  } catch {
    // The daemon is away: it goes on with the comparison when it is back, and so does this.
  }
  setTimeout(follow, EVERY_MS);
}

setTimeout(follow, EVERY_MS);
