// Bring a picture: dropped, pasted or chosen, it goes the way of the form.
"use strict";
const bring = document.querySelector(".bring");
const byClass = document.querySelector(".by-class");

if (byClass) byClass.addEventListener("change", () => byClass.requestSubmit());

if (bring) {
  const input = bring.querySelector("input[type=file]");
  const send = (files) => {
    const picture = [...files].find((file) => file.type.startsWith("image/"));
    if (!picture) return;
    const one = new DataTransfer();
    one.items.add(picture);
    input.files = one.files;
    bring.requestSubmit();
  };
  input.addEventListener("change", () => input.files.length && bring.requestSubmit());
  document.addEventListener("paste", (event) => send(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    bring.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || bring.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    bring.classList.remove("over");
    send(event.dataTransfer.files);
  });
}
