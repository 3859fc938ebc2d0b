// The command below a form follows what is typed; a button copies it.
"use strict";
const form = document.querySelector("form[data-command]");
const shown = document.querySelector(".command code");
if (form) {
  let timer = 0;
  const follow = async () => {
    const given = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value);
    const answer = await fetch(`${form.dataset.command}?${new URLSearchParams(given)}`);
    if (answer.ok) shown.textContent = await answer.text();
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(follow, 200);
  });
}
const copy = document.querySelector("[data-copy]");
copy?.addEventListener("click", async () => {
  await navigator.clipboard.writeText(shown.textContent);
  copy.textContent = "Copied";
  setTimeout(() => (copy.textContent = "Copy"), 1500);
});
