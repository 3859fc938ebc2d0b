// Progress as the server tells it; the page is loaded anew when the job is over.
"use strict";
const job = document.querySelector("[data-events]");
const told = new EventSource(job.dataset.events);
const state = job.querySelector(".state");
const bar = job.querySelector("progress");
told.addEventListener("message", (event) => {
  const step = JSON.parse(event.data);
  if (step.over) {
    told.close();
    location.reload();
    return;
  }
  if (step.state === "waiting") {
    state.textContent = step.before ? `waiting; ${step.before} before it` : "waiting";
    return;
  }
  const steps = step.total ? `: ${step.done.toLocaleString("en")} of ${step.total.toLocaleString("en")}` : "";
  state.textContent = (step.doing || "running") + steps;
  if (step.total) {
    bar.max = step.total;
    bar.value = step.done;
  } else {
    bar.removeAttribute("value");
  }
});
addEventListener("pagehide", () => told.close());
