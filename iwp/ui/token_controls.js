// The rest of the widget: overlay modes, pointer, keyboard, PNG, and its start.
// Continues token_map.js in the same scope.

const MODE_KEYS = { 1: "mask", 2: "heat", 3: "outline", 0: "off" };
const KEY_STEP = 1;                // percent per [ or ]

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
