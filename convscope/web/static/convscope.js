// What the pages cannot do without a script: keys to walk by, and sorting a layer in place.
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
  const items = [...tile.closest(".sheet").children];
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

// Order: each map carries its place in every order; the address remembers the choice, so that going back keeps it.
const order = document.querySelector("[data-sort]");
if (order) {
  const sheet = document.querySelector(".sheet");
  const sortBy = (name) => {
    const items = [...sheet.children].sort((a, b) => a.dataset[name] - b.dataset[name]);
    sheet.append(...items);
    sheet.dataset.order = name;
  };
  const chosen = location.hash.replace("#by-", "");
  const box = [...order.querySelectorAll("input")].find((input) => input.value === chosen);
  if (box) {
    box.checked = true;
    sortBy(chosen);
  }
  order.addEventListener("change", (event) => {
    sortBy(event.target.value);
    history.replaceState(null, "", "#by-" + event.target.value);
  });
}
