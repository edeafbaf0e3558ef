// Patches picked by hand: painting on the map, with a pointer or with keys, and asking with them.
// Continues token_map.js in the same scope.

let hand = null;       // a side of its own while somebody picks: see `shownSides`
let brush = null;      // what a stroke does to each patch: 1 keeps, 0 drops; null between strokes

// What is shown now is where a hand begins: the right side's choice, or both sides' for a difference.
function beginHand() {
  const sides = shownSides();
  const base = sides[sides.length - 1];
  hand = Object.assign(Object.create(Side.prototype), base, {
    base, name: "your hand", live: false, fixed: true, merges: false, weight: null,
    kept: Uint8Array.from(view.map.states, (state) => (state ? 1 : 0)),
  });
  hand.count = hand.kept.reduce((sum, kept) => sum + kept, 0);
  hand.percent = view.percent;
  showHand();
}

function endHand() {
  hand = null;
  brush = null;
  showHand();
}

function showHand() {
  find(".pick").setAttribute("aria-pressed", String(Boolean(hand)));
  find(".hand").hidden = !hand;
  find('[data-choice="side"]').hidden = Boolean(hand);
  root.dataset.hand = String(Boolean(hand));
  nameCanvas();
  if (!view.map) return;
  showView();
  hideCell();
  settle();
  redraw();
}

function pickable() {
  return Boolean(view.map && view.map.n && view.drawn !== null);
}

// Keep or drop one patch.
function put(cell, kept) {
  const token = cell.grid.token(cell.row, cell.col);
  if (hand.kept[token] === kept) return;
  hand.kept[token] = kept;
  hand.count += kept ? 1 : -1;
}

function applied() {
  settle();
  redraw();
  if (view.cell) showCell(view.cell);
}

// Every patch of the grid from one to another, so that a quick stroke has no holes.
function stroke(from, to) {
  const steps = Math.max(Math.abs(to.row - from.row), Math.abs(to.col - from.col), 1);
  for (let step = 0; step <= steps; step++) {
    const along = (a, b) => Math.round(a + ((b - a) * step) / steps);
    put({ grid: to.grid, row: along(from.row, to.row), col: along(from.col, to.col) }, brush);
  }
  applied();
}

// The brush: a patch that is pressed changes, and the stroke does the same to those that follow.
function brushFor(cell) {
  const wanted = find('[data-choice="brush"] [aria-checked="true"]').dataset.value;
  if (wanted !== "change") return wanted === "keep" ? 1 : 0;
  return hand.kept[cell.grid.token(cell.row, cell.col)] ? 0 : 1;
}

let last = null;
canvas.addEventListener("pointerdown", (event) => {
  const cell = hand && cellUnder(event);
  if (!cell) return;
  canvas.setPointerCapture(event.pointerId);
  brush = brushFor(cell);
  last = cell;
  stroke(cell, cell);
});
canvas.addEventListener("pointermove", (event) => {
  const cell = brush !== null && cellUnder(event);
  if (!cell) return;
  stroke(last.grid === cell.grid ? last : cell, cell);
  last = cell;
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => { brush = null; });
}
canvas.addEventListener("keydown", (event) => {
  if (event.key !== " " || !hand || !view.cell) return;
  event.preventDefault();
  put(view.cell, brushFor(view.cell));
  applied();
  find(".live").textContent = tip.textContent;
});

function setAll(kept) {
  hand.kept.fill(kept);
  hand.count = kept ? hand.n : 0;
  applied();
}

find(".pick").addEventListener("click", () => {
  if (hand) endHand();
  else if (pickable()) {
    if (view.sheet) choose("film", "frame");
    beginHand();
  }
});
find(".none").addEventListener("click", () => setAll(0));
find(".restart").addEventListener("click", () => {
  endHand();
  beginHand();
});
find(".ask").addEventListener("click", () => {
  trigger("picked", { id: view.id, kept: encodeBits(hand.kept) });
});
