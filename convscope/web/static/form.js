// The command below a form follows what is typed; a button copies it. Too many or too large files are not sent.
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
  const weigh = () => {
    const inputs = [...form.querySelectorAll("input[type=file]")];
    const files = inputs.flatMap((input) => [...input.files]);
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    const { files: most, bytes: limit } = form.dataset;
    let words = "";
    if (files.length > most) words = `${files.length} files: at most ${most} at once`;
    else if (bytes > limit) words = `${Math.ceil(bytes / 2 ** 20)} MiB of files: at most ${limit / 2 ** 20} at once`;
    for (const input of inputs) input.setCustomValidity(input.files.length ? words : "");
  };
  form.addEventListener("input", () => {
    weigh();
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
