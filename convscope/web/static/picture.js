// Under the lens: a dragged square, a clicked map and a chosen tile ask the server and swap in what it answers.
// Every question is an address that also works without this script; the latest one asked wins.
"use strict";
const question = document.getElementById("question");
if (question) lens();

function lens() {
  const picture = document.getElementById("picture");
  const square = document.getElementById("square");
  const trouble = document.getElementById("trouble");
  const fields = question.elements;
  const [width, height] = ["width", "height"].map((side) => picture.viewBox.baseVal[side]);
  let asking = false;
  let next = null;

  const address = () => {
    const given = [...new FormData(question)].filter(([, value]) => value !== "");
    return question.getAttribute("action") + "?" + new URLSearchParams(given);
  };

  // `parts`: identities of the elements to swap; the answer alone is also to be had without the rest of its page
  async function ask(where, parts) {
    next = [where, parts.concat(next && next[1].includes("unit") && !parts.includes("unit") ? next[1] : [])];
    if (asking) return;
    asking = true;
    while (next) {
      const [from, wanted] = next;
      next = null;
      try {
        await show(from, wanted);
      } catch {
        trouble.textContent = "The server does not answer.";
      }
    }
    asking = false;
  }

  async function show(from, parts) {
    const alone = parts.every((part) => part === "answer");
    const reply = await fetch(from.split("#")[0] + (alone ? "&part=answer" : ""));
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    trouble.textContent = reply.ok ? "" : page.querySelector(".lede").textContent;
    if (!reply.ok) return;
    const fresh = parts.map((part) => page.getElementById(part));
    await Promise.all(fresh.flatMap((part) => [...part.querySelectorAll("image")].map(loaded)));
    const focused = document.activeElement.id;
    fresh.forEach((part) => document.getElementById(part.id).replaceWith(part));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    history.replaceState(null, "", from.split("#")[0]);
  }

  // so that a picture that is swapped in is there at once
  function loaded(image) {
    const early = new Image();
    early.src = image.getAttribute("href");
    return early.decode().catch(() => {});
  }

  const ALL = ["answer", "frame", "unit", "inquiries", "strongest"];
  const place = (element, event, across, down) => {
    const box = element.getBoundingClientRect();
    const at = (share, size) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    return [
      at((event.clientX - box.left) / box.width, across),
      at((event.clientY - box.top) / box.height, down),
    ];
  };

  // the grey square
  function draw() {
    const shown = fields.top.value !== "" && fields.left.value !== "";
    square.setAttribute("x", fields.left.value || 0);
    square.setAttribute("y", fields.top.value || 0);
    for (const side of ["width", "height"]) square.setAttribute(side, shown ? fields.side.value || 0 : 0);
  }
  function hide(event) {
    const [x, y] = place(picture, event, width, height);
    const side = Math.max(1, Number(fields.side.value) || 1);
    fields.left.value = Math.min(Math.max(0, x - (side >> 1)), Math.max(0, width - side));
    fields.top.value = Math.min(Math.max(0, y - (side >> 1)), Math.max(0, height - side));
    draw();
    ask(address(), ["answer"]);
  }
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    picture.setPointerCapture(event.pointerId);
    hide(event);
  });
  picture.addEventListener("pointermove", (event) => picture.hasPointerCapture(event.pointerId) && hide(event));
  document.getElementById("whole").addEventListener("click", (event) => {
    event.preventDefault();
    fields.top.value = fields.left.value = "";
    draw();
    ask(address(), ALL);
  });

  // numbers, by keyboard
  document.addEventListener("change", (event) => {
    if (event.target.form !== question) return;
    const hiding = ["top", "left", "side"].includes(event.target.name);
    if (hiding && event.target.name !== "side") {
      for (const name of ["top", "left"]) fields[name].value ||= "0";
    }
    draw();
    ask(address(), hiding ? ["answer"] : ALL);
  });
  question.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(address(), ALL);
  });

  // the map, and the tiles of other maps
  document.addEventListener("click", (event) => {
    const map = event.target.closest("#map");
    if (map && fields.row) {
      const [across, down] = ["width", "height"].map((side) => map.viewBox.baseVal[side]);
      [fields.column.value, fields.row.value] = place(map, event, across, down);
      ask(address(), ALL);
    }
    const tile = event.target.closest("a[data-look]");
    if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const chosen = new URL(tile.href).searchParams;
    fields.layer.value = chosen.get("layer");
    fields.channel.value = chosen.get("channel");
    if (fields.row) fields.row.value = fields.column.value = "";
    ask(address(), ALL);
    document.getElementById("picture-title").scrollIntoView({ block: "nearest" });
  });
}
