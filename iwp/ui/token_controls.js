// The rest of the widget: its choices, keyboard, look, PNG, and its start.
// Continues token_map.js in the same scope.

const MODE_KEYS = { 1: "mask", 2: "heat", 3: "outline", 0: "off" };
const KEY_STEP = 1;                // percent per [ or ]

// --- modes, sides and grids ----------------------------------------------------------------

function mark(choice, value) {
  for (const button of find('[data-choice="' + choice + '"]').children) {
    const chosen = button.dataset.value === value;
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen ? 0 : -1;             // one tab stop per group
  }
}

// Fill a group with [value, words, hint, what a narrow screen leaves out before the words].
function offer(choice, entries) {
  const buttons = entries.map(([value, words, hint = "", before = ""]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", before + words);
    button.dataset.value = value;
    const wide = document.createElement("span");
    wide.className = "wide";
    wide.textContent = before;
    button.append(wide, words);
    button.title = hint;
    return button;
  });
  find('[data-choice="' + choice + '"]').replaceChildren(...buttons);
}

function offerGrids() {
  const { grids } = view.map;
  const known = grids.find((grid) => view.grid && grid.id === view.grid.id);
  const film = view.map.frames.length > 0;         // there a frame is chosen instead
  view.grid = film ? gridAt(view.frame) : known || grids[grids.length - 1] || null;
  offer("grid", grids.length > 1 && !film ? grids.map((grid) => [grid.id, grid.label]) : []);
  mark("grid", view.grid && view.grid.id);
}

function offerSides() {
  const { sides } = view.map;
  const hint = "Next view (key V)";
  if (sides.length > 1) {
    offer("side", [
      ["left", sides[0].name, hint, "Left: "],
      ["right", sides[1].name, hint, "Right: "],
      ["difference", "Difference", hint],
    ]);
  } else {
    offer("side", []);
  }
  choose("side", sides.length > 1 ? view.side : "right");
}

function choose(choice, value) {
  if (value === "heat" && shownSides().length > 1) return;   // two orders have no common heat map
  if (choice === "brush") {
    mark(choice, value);
    return;
  }
  if (choice === "mode") view.mode = value;
  else if (choice === "side") view.side = value;
  else if (choice === "film") showSheet(value === "sheet");
  else view.grid = view.map.grids.find((grid) => grid.id === value);
  mark(choice, value);
  if (view.mode === "heat" && shownSides().length > 1) choose("mode", "mask");
  showView();
  hideCell();
  settle();
  redraw();
}

// The next entry of a group, if it has any.
function next(choice) {
  const buttons = [...find('[data-choice="' + choice + '"]').children];
  if (!buttons.length) return;
  const at = buttons.findIndex((button) => button.getAttribute("aria-checked") === "true");
  choose(choice, buttons[(at + 1) % buttons.length].dataset.value);
}

// --- keyboard ----------------------------------------------------------------------------

const ARROWS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
};

canvas.addEventListener("keydown", (event) => {
  const step = ARROWS[event.key];
  if (event.key === "Enter" && view.sheet) choose("film", "frame");
  else if (step && view.sheet) {
    goTo(view.frame + step[0] * view.cells.cols + step[1]);
    find(".live").textContent = frameWords();
  }
  else if (step && view.grid) moveCell(...step);
  else return;
  event.preventDefault();
});

function moveChoice(event) {
  const group = event.target.closest(".choice");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!group || !step) return false;
  const buttons = [...group.children].filter((button) => !button.disabled);
  const to = buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length];
  choose(group.dataset.choice, to.dataset.value);
  to.focus();
  return true;
}

function shortcut(key) {
  if (key in MODE_KEYS) choose("mode", MODE_KEYS[key]);
  else if (key === "l") next("grid");
  else if (key === "v") next("side");
  else if (key === "s") save();
  else if (key === "a") next("film");
  else if (key === "p") playOrPause();
  else if (isFilm() && (key === "," || key === ".")) {
    pause();
    goTo(view.frame + (key === "." ? 1 : -1));
  }
  else if (key === "[" || key === "]") {
    setPercent(view.percent + (key === "]" ? KEY_STEP : -KEY_STEP));
    releaseSoon();
  } else return false;
  return true;
}

root.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("select")) return;          // letters choose an entry there
  if (moveChoice(event) || shortcut(event.key)) event.preventDefault();
});
root.addEventListener("click", (event) => {
  const button = event.target.closest(".choice button");
  if (button) choose(button.parentNode.dataset.choice, button.dataset.value);
});

// --- look --------------------------------------------------------------------------------

find(".dim").addEventListener("input", (event) => {
  look.dim = Number(event.target.value) / 100;
  redraw();
});
find(".palette").addEventListener("change", (event) => {
  look.palette = event.target.value;
  if (view.mode !== "heat") choose("mode", "heat");
  showView();
  redraw();
});

// --- PNG ---------------------------------------------------------------------------------

function save() {
  if (!view.grid) return;
  const paper = document.createElement("canvas");
  const target = paper.getContext("2d");
  const film = view.map.frames.length > 0;
  if (view.sheet) {
    paper.width = canvas.width;
    paper.height = canvas.height;
    drawSheet(target, view.line);
  } else {
    paper.width = view.map.width;
    paper.height = view.map.height;
    if (!film) target.drawImage(picture, 0, 0, paper.width, paper.height);
    drawFrame(target, view.frame, scaleOf(paper, Math.max(1, paper.width / 900)));
  }
  paper.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const side = view.map.sides.length > 1 ? view.side + "_" : "";
    const frame = view.sheet ? "frames_" : film ? "frame" + (view.frame + 1) + "_" : "";
    link.download = "tokens_" + side + frame + view.percent.toFixed(1) + "pct.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 4000);
  }, "image/png");
}
find(".save").addEventListener("click", save);

// --- start -------------------------------------------------------------------------------

new ResizeObserver(fit).observe(frame);
watch("value", () => load(props.value));
mark("mode", view.mode);
mark("brush", "change");
load(props.value);
// The Compare button reads the budget here, `KeptTokens` hands over its value, and the rest serves
// measurements of the redraw.
root.tokenMap = {
  view, draw, setPercent, select, budget: () => view.percent / 100,
  exported: () => showExporting(false), outdated, formChanged,
};
