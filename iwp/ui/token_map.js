// The widget around the token grids: its value, what is drawn, and the budget.
// `element`, `trigger`, `props` and `watch` come from gr.HTML.

const PRESETS = [5, 11.1, 22.2, 35.3, 50, 100];
const SETTLE_MS = 250;             // a row of key presses is one release

const root = element.querySelector(".token-map");
const find = (selector) => root.querySelector(selector);
const picture = find(".picture");
const canvas = find(".overlay");
const context = canvas.getContext("2d");
const stage = find(".stage");
const frame = find(".frame");
const cursor = find(".cursor");
const tip = find(".tip");
const range = find(".range");
const presets = find(".presets");
const gridChoice = find('[data-choice="grid"]');

const view = {
  id: null, map: null, percent: Number(range.value), keep: 0, mode: "mask", grid: null,
  cell: null, line: 1, seq: 0,
};

// --- value -------------------------------------------------------------------------------

function load(value) {
  if (!value || !value.picture) {
    Object.assign(view, { id: null, map: null, grid: null });
    root.dataset.state = "empty";
    stage.style.height = "";
    find(".save").disabled = true;
    find(".curve").setAttribute("hidden", "");
    hideCell();
    showBudget();
    return;
  }
  if (value.id === view.id) return;        // a streamed answer sends the map again and again
  view.id = value.id;
  view.map = {
    n: value.n, width: value.width, height: value.height,
    grids: value.grids.map((wire) => new TokenGrid(wire, value.n)),
    weight: value.weight ? decodeArray(value.weight, Uint16Array) : null,
  };
  drawCurve();
  root.dataset.state = value.n ? "ranked" : "picture";
  find(".save").disabled = !value.n;
  const url = value.picture.url || value.picture.path;
  if (picture.getAttribute("src") !== url) picture.src = url;
  picture.alt = value.n ? "The picture; kept patches are lit" : "The picture";
  offerGrids();
  hideCell();
  setPercent(view.percent);
  fit();
  if (view.percent / 100 !== value.budget) release();      // moved while the server ranked
}

function offerGrids() {
  const { grids } = view.map;
  const known = grids.find((grid) => view.grid && grid.id === view.grid.id);
  view.grid = known || grids[grids.length - 1] || null;
  gridChoice.replaceChildren();
  if (grids.length > 1) {
    for (const grid of grids) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.dataset.value = grid.id;
      button.textContent = grid.label;
      gridChoice.append(button);
    }
  }
  mark("grid", view.grid && view.grid.id);
}

// --- drawing -----------------------------------------------------------------------------

let pending = 0;
function redraw() {
  if (pending) return;
  pending = requestAnimationFrame(() => {
    pending = 0;
    draw();
  });
}

function draw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (view.grid) view.grid.draw(context, scaleOf(canvas, view.line), view.keep, view.mode);
  showBudget();
}

function scaleOf(target, line) {
  return { x: target.width / view.map.width, y: target.height / view.map.height, line };
}

function fit() {
  if (!view.map) return;
  const tallest = Math.max(260, Math.min(window.innerHeight * 0.52, 560));
  const ratio = view.map.height / view.map.width;
  const width = Math.min(frame.clientWidth, tallest / ratio);
  stage.style.width = width + "px";
  stage.style.height = width * ratio + "px";
  view.line = Math.min(2, window.devicePixelRatio || 1);
  const deviceWidth = Math.max(1, Math.round(width * view.line));
  const deviceHeight = Math.max(1, Math.round(width * ratio * view.line));
  if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) {
    canvas.width = deviceWidth;
    canvas.height = deviceHeight;
  }
  hideCell();
  redraw();
}

// --- budget ------------------------------------------------------------------------------

function setPercent(percent) {
  view.percent = Math.min(100, Math.max(Number(range.min), Math.round(percent * 10) / 10));
  view.keep = view.map && view.map.n ? keepCount(view.map.n, view.percent / 100) : 0;
  if (Number(range.value) !== view.percent) range.value = view.percent;
  redraw();
}

const number = (value) => value.toLocaleString("en");
const percentText = (percent) => (percent === 100 ? "100" : percent.toFixed(1)) + " %";

function showBudget() {
  const { map, keep, percent } = view;
  find(".percent").textContent = percentText(percent);
  range.style.setProperty("--fill", ((percent - range.min) / (100 - range.min)) * 100 + "%");
  for (const button of presets.children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.percent) === percent));
  }
  let summary = "";
  if (map && map.n) {
    summary = "keeps " + number(keep) + " of " + number(map.n) + " visual tokens";
    if (map.grids.length > 1) {
      const parts = map.grids.map((grid) => (
        grid.label + " " + number(grid.keptOf(keep)) + "/" + number(grid.size())
      ));
      summary += " (" + parts.join(", ") + ")";
    }
  } else if (map) {
    summary = "ranking the visual tokens";
  }
  const weight = weightKept(keep);
  if (weight !== null) {
    summary += ", " + (100 * weight).toFixed(1) + " % of the dual weight";
    find(".curve-mark").setAttribute("d", "M" + budgetX(percent) + " 100V" + (100 - 100 * weight));
  }
  find(".summary").textContent = summary;
  range.setAttribute("aria-valuetext", percentText(percent) + (summary ? ", " + summary : ""));
}

// --- dual weight kept, at every budget -----------------------------------------------------

const CURVE_POINTS = 200;
const budgetX = (percent) => ((percent - range.min) / (100 - range.min)) * 100;

function weightKept(keep) {
  return view.map && view.map.n && view.map.weight ? view.map.weight[keep] / 65535 : null;
}

function drawCurve() {
  const { n, weight } = view.map;
  find(".curve").toggleAttribute("hidden", !weight);
  if (!weight) return;
  const points = [];
  for (let i = 0; i <= CURVE_POINTS; i += 1) {
    const percent = Number(range.min) + ((100 - range.min) * i) / CURVE_POINTS;
    const kept = weight[keepCount(n, percent / 100)] / 65535;
    points.push(budgetX(percent).toFixed(2) + " " + (100 - 100 * kept).toFixed(2));
  }
  find(".curve-line").setAttribute("d", "M" + points.join("L"));
  find(".curve-area").setAttribute("d", "M0 100L" + points.join("L") + "L100 100Z");
}

function release() {
  if (!view.map || !view.map.n) return;
  view.seq += 1;
  // Also an unchanged budget: the server knows whether its answer was stopped, or failed.
  trigger("release", { budget: view.percent / 100, seq: view.seq });
}

let settling = 0;
function releaseSoon() {
  clearTimeout(settling);
  settling = setTimeout(release, SETTLE_MS);
}

for (const percent of PRESETS) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.dataset.percent = percent;
  button.textContent = percent + " %";
  button.addEventListener("click", () => {
    setPercent(percent);
    releaseSoon();
  });
  presets.append(button);
}
range.addEventListener("input", () => setPercent(Number(range.value)));
range.addEventListener("change", releaseSoon);     // pointer release, or a key press
