// Who comes by a link from elsewhere is logged in already, but the browser did not say so: look once more.
"use strict";

fetch("/login", { headers: { Accept: "application/json" } })
  .then((answer) => {
    const next = document.querySelector("[name=next]").value;
    if (answer.ok) location.replace(next);
  })
  .catch(() => {}); // the form is there
