// A result's rows as points, its arrays as heat maps, with plotly.
"use strict";
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(`--${name}`).trim();
const PALETTE = ["#ff8a5b", "#6fb7ff", "#b5d96a", "#d79bff", "#ffd166", "#5fd4c0", "#ff7fa8", "#c9c5bb"];
const SCALE = [[0, "#1a1b1d"], [0.5, "#b4532b"], [1, "#ffe3d6"]];
const MANY = 12; // more colours than these cannot be told apart: one colour then
const PARAMETER = /^(parameter|amount|epoch|shift|scale|angle|size|rank|position|channel|row)s?$/;
const AXIS = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

function layout(x, y) {
  return {
    paper_bgcolor: colour("paper"), plot_bgcolor: colour("paper"), font: { color: colour("ink"), size: 13 },
    margin: { t: 20, r: 20, b: 50, l: 60 }, xaxis: { ...AXIS, title: { text: x } }, yaxis: { ...AXIS, title: { text: y } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, hoverlabel: { bgcolor: colour("raised"), font: { color: colour("ink") } },
  };
}

async function points(section) {
  const table = await (await fetch(section.dataset.rows)).json();
  const [x, y, hue] = ["x", "y", "colour"].map((axis) => section.querySelector(`[data-axis=${axis}]`));
  const column = (name) => table.rows.map((row) => row[table.columns.indexOf(name)]);
  const numeric = table.columns.filter((_, place) => table.numeric[place]);
  const text = table.columns.filter((_, place) => !table.numeric[place]);
  const fill = (select, names, chosen) => {
    select.replaceChildren(...names.map((name) => new Option(name || "none", name, false, name === chosen)));
  };
  const across = numeric.find((name) => PARAMETER.test(name)) ?? text[0] ?? numeric[0];
  const up = ["value", "distance", "probability"].find((name) => numeric.includes(name) && name !== across);
  fill(x, table.columns, across);
  fill(y, table.columns, up ?? numeric.find((name) => name !== across) ?? table.columns[0]);
  const few = (name) => name !== across && new Set(column(name)).size <= MANY && new Set(column(name)).size > 1;
  fill(hue, ["", ...table.columns], text.find(few) ?? "");
  const draw = () => {
    const group = hue.value ? column(hue.value) : [];
    const names = [...new Set(group)];
    const apart = names.length && names.length <= MANY;
    const [across, up] = [column(x.value), column(y.value)];
    const trace = (name, keep, shade) => ({
      type: "scatter", mode: keep.length < 400 && apart ? "lines+markers" : "markers", name: String(name),
      x: keep.map((n) => across[n]), y: keep.map((n) => up[n]), marker: { size: 7, ...shade }, line: { width: 1.2, ...shade },
    });
    const all = up.map((_, n) => n);
    const traces = apart
      ? names.map((name, k) => trace(name, all.filter((n) => group[n] === name), { color: PALETTE[k % PALETTE.length] }))
      : [trace(y.value, all, { color: PALETTE[0] })];
    if (!apart && hue.value && numeric.includes(hue.value)) {
      Object.assign(traces[0].marker, { color: group, colorscale: SCALE, showscale: true, colorbar: { title: { text: hue.value } } });
    }
    Plotly.react(section.querySelector(".plot"), traces, { ...layout(x.value, y.value), showlegend: Boolean(apart) }, CONFIG);
  };
  section.addEventListener("change", draw);
  draw();
}

async function heat(section) {
  const name = section.querySelector("[data-name]");
  const places = section.querySelector("[data-places]");
  const choose = () => {
    const shape = name.selectedOptions[0].dataset.shape.split(",").map(Number);
    const inputs = shape.slice(0, -2).map((size, axis) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "number", min: 0, max: size - 1, value: 0 });
      label.append(`axis ${axis} `, input, ` of ${size} `);
      return label;
    });
    places.replaceChildren(...inputs);
  };
  const draw = async () => {
    const at = [...places.querySelectorAll("input")].map((input) => Number(input.value) || 0);
    const answer = await fetch(`${section.dataset.array}?${new URLSearchParams({ name: name.value, at: at.join(",") })}`);
    const found = await answer.json();
    const line = found.z.length === 1;
    const trace = line
      ? { type: "scatter", mode: "lines+markers", y: found.z[0], line: { color: PALETTE[0] } }
      : { type: "heatmap", z: found.z, dx: found.step[1], dy: found.step[0], colorscale: SCALE };
    const shown = layout(line ? "place" : "column", line ? "value" : "row");
    if (!line) {
      Object.assign(shown.xaxis, { constrain: "domain", showgrid: false, zeroline: false });
      Object.assign(shown.yaxis, { autorange: "reversed", scaleanchor: "x", constrain: "domain", showgrid: false });
    }
    Plotly.react(section.querySelector(".plot"), [trace], shown, CONFIG);
    const [down, across] = found.step;
    section.querySelector("[data-note]").textContent = down * across > 1 ? `Every ${down}. row and every ${across}. column is shown.` : "";
  };
  section.addEventListener("change", (event) => {
    if (event.target === name) choose();
    draw();
  });
  const planes = [...name.options].map((option) => option.dataset.shape.split(",").slice(-2).map(Number));
  const plane = planes.findIndex((sides) => sides.length === 2 && sides.every((side) => side > 2));
  name.selectedIndex = Math.max(0, plane); // a first sight that shows something
  choose();
  draw();
}

document.querySelectorAll("[data-rows]").forEach(points);
document.querySelectorAll("[data-array]").forEach(heat);
