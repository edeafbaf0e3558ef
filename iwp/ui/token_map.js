// The widget around the token grids: its value, what is drawn, and the budget.
// `element`, `trigger`, `props` and `watch` come from gr.HTML, `COLOURS` from the server.

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
const twinCursor = find(".twin");
const tip = find(".tip");
const range = find(".range");
const presets = find(".presets");

const view = {
  id: null, map: null, percent: Number(range.value), keep: 0, mode: "mask", side: "right",
  grid: null, cell: null, line: 1, seq: 0,
  frame: 0, sheet: false, cells: null,     // of a video: see token_frames.js
  drawn: null,         // the budget that the patches belong to; null while they are not known
  counts: [],          // how many tokens are in each state
};
let chosen = null;     // the newest selections of methods that do not redraw live

// --- value -------------------------------------------------------------------------------

function load(value) {
  if (!value || !value.picture) {
    Object.assign(view, { id: null, map: null, grid: null, sheet: false });
    endHand();
    root.dataset.state = "empty";
    stage.style.height = "";
    find(".save").disabled = true;
    find(".pick").disabled = true;
    pause();
    for (const choice of ["side", "grid", "film"]) offer(choice, []);
    film.hidden = find(".export").hidden = find(".marker").hidden = true;
    showView();
    hideCell();
    showBudget();
    checkForm();
    return;
  }
  if (value.id === view.id) return;        // a streamed answer sends the map again and again
  view.id = value.id;
  endHand();
  const before = view.map;
  view.map = {
    n: value.n, width: value.width, height: value.height, convention: value.convention,
    grids: value.grids.map((wire) => new TokenGrid(wire)),
    sides: value.sides.map((wire) => new Side(wire, value.n)),
    states: new Uint8Array(value.n),
    frames: framesOf(value.frames), question: value.question.trim(), file: value.file,
  };
  root.dataset.state = value.n ? "ranked" : "picture";
  find(".save").disabled = !value.n;
  find(".pick").disabled = !value.n;
  const url = value.picture.url || value.picture.path;
  if (picture.getAttribute("src") !== url) picture.src = url;
  offerFrames(before);
  showExporting(false);
  picture.alt = value.n ? "The picture; kept patches are lit" : "The picture";
  offerGrids();
  offerSides();
  hideCell();
  checkForm();
  select(chosen);
  setPercent(value.snap ? 100 * value.budget : view.percent);
  fit();
  if (!value.n) bringIntoView();           // not ranked yet: a comparison has just begun
  if (!value.snap && view.percent / 100 !== value.budget) release();      // moved while the server ranked
}

// What methods that do not redraw live have kept. May come before the map that it belongs to.
function select(value) {
  chosen = value;
  if (!value || !view.map || value.id !== view.id) return;
  value.kept.forEach((bits, i) => {
    const side = view.map.sides[i];
    if (bits && side && !side.live) side.choose(bits, Math.round(value.budget * 1000) / 10);
  });
  hideCell();
  settle();
  redraw();
}

// --- which patches are kept --------------------------------------------------------------

// The sides that the view shows; the difference shows both.
function shownSides() {
  if (!view.map) return [];
  if (hand) return [hand];
  const { sides } = view.map;
  if (sides.length < 2 || view.side === "difference") return sides;
  return [sides[view.side === "left" ? 0 : 1]];
}

// The budget that the shown patches can be drawn for: the slider's, or that of a selection which
// does not redraw live. Null while two such selections belong to different budgets.
function drawable(sides) {
  const fixed = sides.filter((side) => !side.live && !side.fixed).map((side) => side.percent);
  if (!fixed.length) return view.percent;
  return fixed.every((percent) => percent === fixed[0]) ? fixed[0] : null;
}

function settle() {
  const { map } = view;
  if (!map || !map.n) return;
  const shown = shownSides();
  const percent = drawable(shown);
  for (const side of map.sides) {
    if (side.live) side.settle(shown.includes(side) ? percent : view.percent);
  }
  const known = shown.every((side) => side.percent !== null);
  view.drawn = known ? percent : null;
  view.counts = combine(shown, map.states);
  view.keep = map.sides[map.sides.length - 1].count;
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
  if (view.map && view.sheet) drawSheet(context, view.line);
  else if (view.map) drawFrame(context, view.frame, scaleOf(canvas, view.line));
  showBudget();
  showFilm();
}

function paintOn(target, scale, grid) {
  if (!grid || view.mode === "off" || view.drawn === null) return;
  const sides = shownSides();
  grid.draw(target, scale, {
    ...paintOf(view.mode, sides.length > 1),
    states: view.map.states,
    heat: view.mode === "heat" ? sides[0].heat : null,
  });
}

function scaleOf({ width, height }, line) {
  return { x: width / view.map.width, y: height / view.map.height, width, height, line };
}

function fit() {
  if (!view.map) return;
  const tallest = Math.max(260, Math.min(window.innerHeight * 0.52, 560));
  let ratio = view.map.height / view.map.width;
  let width = Math.min(frame.clientWidth, tallest / ratio);
  if (view.sheet) {
    view.cells = sheetCells(frame.clientWidth, tallest);
    const { cols, rows, wide, high } = view.cells;
    width = cols * (wide + SHEET_GAP) - SHEET_GAP;
    ratio = (rows * (high + SHEET_GAP) - SHEET_GAP) / width;
  }
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
  if (Number(range.value) !== view.percent) range.value = view.percent;
  settle();
  redraw();
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
  settling = setTimeout(letGo, SETTLE_MS);
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
