// The widget around the token grids: value, controls, pointer, keyboard, PNG.
// `element`, `trigger`, `props` and `watch` come from gr.HTML.

const PRESETS = [5, 11.1, 22.2, 35.3, 50, 100];
const MODE_KEYS = { 1: "mask", 2: "heat", 3: "outline", 0: "off" };
const KEY_STEP = 1;                // percent per [ or ]
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
  cell: null, line: 1, answered: null, seq: 0,
};

// --- value -------------------------------------------------------------------------------

function load(value) {
  if (!value || !value.picture) {
    Object.assign(view, { id: null, map: null, grid: null });
    root.dataset.state = "empty";
    stage.style.height = "";
    find(".save").disabled = true;
    hideCell();
    showBudget();
    return;
  }
  if (value.id === view.id) return;        // a streamed answer sends the map again and again
  view.id = value.id;
  view.answered = value.budget;
  view.map = {
    n: value.n, width: value.width, height: value.height,
    grids: value.grids.map((wire) => new TokenGrid(wire, value.n)),
  };
  root.dataset.state = value.n ? "ranked" : "picture";
  find(".save").disabled = !value.n;
  const url = value.picture.url || value.picture.path;
  if (picture.getAttribute("src") !== url) picture.src = url;
  picture.alt = value.n ? "The picture; kept patches are lit" : "The picture";
  offerGrids();
  hideCell();
  setPercent(view.percent);
  fit();
  if (value.n) release();                  // the budget may have moved while the server ranked
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
  const tallest = Math.max(260, Math.min(window.innerHeight * 0.66, 620));
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
  find(".summary").textContent = summary;
  range.setAttribute("aria-valuetext", percentText(percent) + (summary ? ", " + summary : ""));
}

function release() {
  const budget = view.percent / 100;
  if (!view.map || !view.map.n || budget === view.answered) return;
  view.answered = budget;
  view.seq += 1;
  trigger("release", { budget, seq: view.seq });
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

// --- modes and grids ---------------------------------------------------------------------

function mark(choice, value) {
  for (const button of find('[data-choice="' + choice + '"]').children) {
    const chosen = button.dataset.value === value;
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen ? 0 : -1;             // one tab stop per group
  }
}

function choose(choice, value) {
  if (choice === "mode") view.mode = value;
  else view.grid = view.map.grids.find((grid) => grid.id === value);
  mark(choice, value);
  find(".legend").hidden = view.mode !== "heat";
  hideCell();
  redraw();
}

function nextGrid() {
  if (!view.map || view.map.grids.length < 2) return;
  const { grids } = view.map;
  choose("grid", grids[(grids.indexOf(view.grid) + 1) % grids.length].id);
}

// --- the patch under the pointer ---------------------------------------------------------

function hideCell() {
  view.cell = null;
  tip.hidden = true;
  cursor.hidden = true;
}

function showCell(cell) {
  if (!cell) {
    hideCell();
    return;
  }
  view.cell = cell;
  const { grid, row, col } = cell;
  const about = grid.describe(row, col);
  const kept = about.rank < view.keep;
  // rank r is kept as soon as keep_count reaches r + 1
  const from = Math.max(0, (100 * (about.rank + 0.5)) / view.map.n);
  const lines = [
    (kept ? "Kept" : "Dropped") + ", rank " + number(about.rank + 1) + " of " + number(view.map.n),
    "Kept from " + from.toFixed(from < 10 ? 2 : 1) + " %, score " + about.score.toPrecision(3),
    grid.label + ", row " + (row + 1) + ", column " + (col + 1) + ", token " + about.token,
  ];
  tip.replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  }));
  tip.dataset.kept = String(kept);
  const scaleX = stage.clientWidth / view.map.width;
  const scaleY = stage.clientHeight / view.map.height;
  const box = {
    left: about.x * scaleX, top: about.y * scaleY,
    width: about.width * scaleX, height: about.height * scaleY,
  };
  for (const side of Object.keys(box)) cursor.style[side] = box[side] + "px";
  cursor.hidden = false;
  tip.hidden = false;
  placeTip(box);
}

function placeTip(box) {
  const gap = 8;
  let left = box.left + box.width + gap;
  let top = box.top - tip.offsetHeight - gap;
  if (left + tip.offsetWidth > stage.clientWidth) left = box.left - tip.offsetWidth - gap;
  if (top < 0) top = box.top + box.height + gap;
  left = Math.max(0, Math.min(left, stage.clientWidth - tip.offsetWidth));
  top = Math.max(0, Math.min(top, stage.clientHeight - tip.offsetHeight));
  tip.style.left = left + "px";
  tip.style.top = top + "px";
}

function cellUnder(event) {
  if (!view.grid) return null;
  const box = canvas.getBoundingClientRect();
  return view.grid.cellAt(
    ((event.clientX - box.left) / box.width) * view.map.width,
    ((event.clientY - box.top) / box.height) * view.map.height,
  );
}

function moveCell(rows, cols) {
  const { grid, cell } = view;
  const start = cell || { row: (grid.rows >> 1) - rows, col: (grid.cols >> 1) - cols };
  const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
  showCell({
    grid, row: clamp(start.row + rows, grid.rows), col: clamp(start.col + cols, grid.cols),
  });
  find(".live").textContent = tip.textContent;
}

canvas.addEventListener("pointermove", (event) => showCell(cellUnder(event)));
canvas.addEventListener("pointerdown", (event) => showCell(cellUnder(event)));
canvas.addEventListener("pointerleave", hideCell);
canvas.addEventListener("blur", hideCell);

// --- keyboard ----------------------------------------------------------------------------

const ARROWS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
};

canvas.addEventListener("keydown", (event) => {
  const step = ARROWS[event.key];
  if (!step || !view.grid) return;
  event.preventDefault();
  moveCell(...step);
});

function moveChoice(event) {
  const group = event.target.closest(".choice");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!group || !step) return false;
  const buttons = [...group.children];
  const next = (buttons.indexOf(event.target) + step + buttons.length) % buttons.length;
  choose(group.dataset.choice, buttons[next].dataset.value);
  buttons[next].focus();
  return true;
}

function shortcut(key) {
  if (key in MODE_KEYS) choose("mode", MODE_KEYS[key]);
  else if (key === "l") nextGrid();
  else if (key === "s") save();
  else if (key === "[" || key === "]") {
    setPercent(view.percent + (key === "]" ? KEY_STEP : -KEY_STEP));
    releaseSoon();
  } else return false;
  return true;
}

root.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (moveChoice(event) || shortcut(event.key)) event.preventDefault();
});
root.addEventListener("click", (event) => {
  const button = event.target.closest(".choice button");
  if (button) choose(button.parentNode.dataset.choice, button.dataset.value);
});

// --- PNG ---------------------------------------------------------------------------------

function save() {
  if (!view.grid) return;
  const sheet = document.createElement("canvas");
  sheet.width = view.map.width;
  sheet.height = view.map.height;
  const target = sheet.getContext("2d");
  target.drawImage(picture, 0, 0, sheet.width, sheet.height);
  const line = Math.max(1, sheet.width / 900);
  view.grid.draw(target, scaleOf(sheet, line), view.keep, view.mode);
  sheet.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "tokens_" + view.percent.toFixed(1) + "pct.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 4000);
  }, "image/png");
}
find(".save").addEventListener("click", save);

// --- start -------------------------------------------------------------------------------

new ResizeObserver(fit).observe(frame);
watch("value", () => load(props.value));
mark("mode", view.mode);
load(props.value);
// The Compare button reads the budget here; the numbers serve measurements of the redraw.
root.tokenMap = { view, draw, setPercent, budget: () => view.percent / 100 };
