// What the pages cannot do without a script: keys to walk by, and sorting and sifting a layer in place.
// A classic script, deferred, so that the pages open from the disk.
"use strict";
document.documentElement.classList.add("scripted");

// Keys: a link says which in data-keys ("ArrowLeft k"); inside a sheet of maps, arrows move from map to map.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  const tile = event.target.closest(".sheet .tile");
  if (tile && !event.shiftKey && moveFocus(tile, event.key)) return event.preventDefault();
  const key = (event.shiftKey ? "Shift+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const link = document.querySelector(`a[data-keys~="${CSS.escape(key)}"]`);
  if (!link) return;
  event.preventDefault();
  link.click();
});

function moveFocus(tile, key) {
  const items = [...tile.closest(".sheet").children].filter((item) => !item.hidden);
  const here = items.indexOf(tile.parentElement);
  const top = items[0].offsetTop;
  const wrap = items.findIndex((item) => item.offsetTop > top);
  const columns = wrap < 0 ? items.length : wrap;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const next = key in steps ? items[here + steps[key]] : key === "Home" ? items[0] : key === "End" ? items.at(-1) : null;
  if (!(key in steps) && !next) return false;
  next?.querySelector(".tile").focus();
  return true;
}

// A layer: each map carries its place in every order and what it is sifted by; the address remembers the choice, so
// that going back keeps it.
const controls = document.querySelector(".controls");
if (controls) {
  const sheet = document.querySelector(".sheet");
  const items = [...sheet.children].map((item) => ({ item, ...item.dataset, dead: item.matches(".dead") ? "yes" : "no" }));
  const label = (name) => controls.querySelector(`[data-of="${name}"]`);
  const reset = controls.querySelector("[type=reset]");
  const given = () => new Map([...new FormData(controls)].filter(([name]) => name !== "show"));

  const sortBy = (name) => {
    if (sheet.dataset.order === name) return;
    sheet.append(...items.sort((a, b) => a[name] - b[name]).map(({ item }) => item));
    sheet.dataset.order = name;
  };
  const sift = () => {
    const wanted = given();
    const [strength, fires] = [wanted.get("strength") / 100, wanted.get("fires") / 100];
    let found = 0;
    for (const { item, ...map } of items) {
      const fits =
        Number(map.share) >= strength && Number(map.fires) <= fires &&
        ["dead", "concept"].every((name) => !wanted.get(name) || wanted.get(name) === map[name]);
      if (item.hidden === fits) item.hidden = !fits;
      found += fits;
    }
    for (const name of ["strength", "fires"]) label(name).textContent = wanted.get(name) + " %";
    label("found").textContent = found.toLocaleString("en");
    reset.hidden = found === items.length;
  };
  const remember = () => {
    const usual = { order: "strength", strength: "0", fires: "100", dead: "", concept: "" };
    const chosen = new URLSearchParams([...given()].filter(([name, value]) => value !== usual[name]));
    history.replaceState(null, "", chosen.size ? "#" + chosen : location.pathname + location.search);
  };

  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (controls.elements[name]) controls.elements[name].value = value;
  }
  if (location.hash) sortBy(given().get("order"));
  sift();
  controls.addEventListener("input", () => {
    sortBy(given().get("order"));
    sift();
  });
  controls.addEventListener("change", remember);
  controls.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const [name, value] of [["strength", 0], ["fires", 100], ["dead", ""], ["concept", ""]]) {
      if (controls.elements[name]) controls.elements[name].value = value;
    }
    sift();
    remember();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
}
