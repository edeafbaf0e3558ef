// The patch under the pointer or the keys' cursor: what is said of it, and its nearest duplicate.
// Continues token_map.js in the same scope.

function hideCell() {
  view.cell = null;
  tip.hidden = true;
  cursor.hidden = true;
  twinCursor.hidden = true;
}

function showCell(cell) {
  if (!cell || view.drawn === null) {
    hideCell();
    return;
  }
  view.cell = cell;
  const { grid, row, col } = cell;
  const token = grid.token(row, col);
  const lines = [
    ...about(token),
    ...aboutTwin(token),
    ...aboutRowEnd(cell),
    grid.label + ", row " + (row + 1) + ", column " + (col + 1) + ", token " + token,
  ];
  tip.replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  }));
  tip.dataset.kept = String(view.map.states[token] > 0);
  const scaleX = stage.clientWidth / view.map.width;
  const scaleY = stage.clientHeight / view.map.height;
  const framed = (frame, area) => {
    const box = {
      left: area.left * scaleX, top: area.top * scaleY,
      width: area.width * scaleX, height: area.height * scaleY,
    };
    for (const side of Object.keys(box)) frame.style[side] = box[side] + "px";
    frame.hidden = false;
    return box;
  };
  const box = framed(cursor, grid.area(row, col));
  const twin = twinOf(token);
  twinCursor.hidden = true;
  // also a patch of another grid: it has its place on the picture, but not on another frame
  if (twin && twin.col < twin.grid.cols && (!isFilm() || twin.grid === grid)) {
    framed(twinCursor, twin.grid.area(twin.row, twin.col));
  }
  tip.hidden = false;
  placeTip(box);
}

// What the shown sides do with a token.
function about(token) {
  const sides = shownSides();
  const [side] = sides;
  const state = view.map.states[token];
  if (sides.length > 1) {
    return ["Kept by " + keepers(sides, state), ...sides.map((one) => one.name + ": " + standing(one, token))];
  }
  const fate = state ? "Kept" : "Dropped";
  if (side.fixed) {
    const { base } = side;             // whose choice the hand began with, while it still picks
    return [fate + " by " + side.name, ...(base ? [base.name + ": " + standing(base, token)] : [])];
  }
  if (!side.live) return [fate + " at " + percentText(side.percent), standing(side, token)];
  const rank = side.ranks[token] + 1;
  return [
    fate + ", rank " + number(rank) + " of " + number(side.n),
    "Kept from " + percentText(side.percentFor(rank)) + ", score " + scoreText(side, token),
  ];
}

function keepers([left, right], state) {
  return ["neither side", "only " + left.name, "only " + right.name, "both sides"][state];
}

// The last patch of a row lies under the mark of the token that ends it.
function aboutRowEnd({ grid, row, col }) {
  if (!grid.endsRows || col < grid.cols - 1) return [];
  const token = grid.token(row, grid.cols);
  const state = view.map.states[token];
  const sides = shownSides();
  const fate = sides.length > 1 ? "kept by " + keepers(sides, state) : state ? "kept" : "dropped";
  return ["Row end, " + fate + ": token " + token];
}

// Where the token lies that duplicates this one most, as the shown side sees it.
function twinOf(token) {
  const sides = shownSides();
  const { twins } = sides[sides.length - 1].base || sides[sides.length - 1];
  if (sides.length > 1 || !twins || twins[token] === token) return null;
  const number = twins[token];
  const grid = view.map.grids.find((one) => number >= one.offset && number < one.offset + one.size);
  return grid ? { number, grid, ...grid.place(number) } : null;
}

function aboutTwin(token) {
  const twin = twinOf(token);
  if (!twin) return [];
  const where = twin.col < twin.grid.cols
    ? "row " + (twin.row + 1) + ", column " + (twin.col + 1) : "the end of row " + (twin.row + 1);
  const fate = view.map.states[twin.number] ? "kept" : "dropped";
  return ["Nearest duplicate, " + fate + ": " + twin.grid.label + ", " + where];
}

function standing(side, token) {
  if (side.fixed) return side.kept[token] ? "picked" : "not picked";
  const rank = side.live ? "rank " + number(side.ranks[token] + 1) + ", " : "";
  return rank + "score " + scoreText(side, token);
}

const scoreText = (side, token) => side.score(token).toPrecision(3);

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
  if (!view.grid || view.sheet) return null;
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
// A finger that is lifted leaves the canvas, but only now the words can be read: they stay until the
// next touch elsewhere. Not while a hand picks: they would cover the patches beside.
canvas.addEventListener("pointerleave", (event) => {
  if (event.pointerType !== "touch" || hand) hideCell();
});
canvas.addEventListener("pointercancel", hideCell);       // the finger scrolls the page
document.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "touch" && event.target !== canvas) hideCell();
});
canvas.addEventListener("blur", hideCell);
