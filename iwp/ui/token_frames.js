// The frames of a video: which one is shown, all of them on a sheet, how many tokens of each are
// kept, playing. Continues token_map.js in the same scope. A picture has no frames here.

const SHEET_GAP = 4;               // CSS pixels between the frames of a sheet
const NUMBERED = 56;               // a frame of a sheet that is narrower has no number
const NUMBERED_BAR = 22;           // so has a bar
const GAP_MS = [80, 500];          // how long a frame is shown while they play
const film = find(".film");
const scrub = find(".scrub");
const tally = find(".tally");
tally.style.setProperty("--left", DIFFERENCE_LINES[1]);
tally.style.setProperty("--right", DIFFERENCE_LINES[2]);

const isFilm = () => Boolean(view.map && view.map.frames.length > 1);
const gentle = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// --- value -------------------------------------------------------------------------------

// Pictures that are there already stay, so that nothing flashes when their tokens are ranked.
function framesOf(wire) {
  const known = view.map ? view.map.frames : [];
  return wire.map(({ file, time }, i) => {
    const url = file.url || file.path;
    if (known[i] && known[i].url === url) return { ...known[i], time };
    const image = new Image();
    image.onload = redraw;
    image.src = url;
    return { url, time, image };
  });
}

// The value has changed. The same video stays at its frame, and goes on playing.
function offerFrames(before) {
  const { frames } = view.map;
  const same = before && before.frames.length === frames.length
    && frames.every((one, i) => one.url === before.frames[i].url);
  if (!same) {
    pause();
    view.frame = 0;
    view.sheet = false;
  }
  nameCanvas();
  const hint = "One frame or all (key A)";
  offer("film", isFilm() ? [["frame", "Frame", hint], ["sheet", "All frames", hint]] : []);
  mark("film", view.sheet ? "sheet" : "frame");
  film.hidden = !isFilm();
  find(".export").hidden = !frames.length;
  picture.hidden = frames.length > 0;          // the canvas has the frames: they change at once
  scrub.max = Math.max(1, frames.length);
  film.style.setProperty("--frames", Math.max(1, frames.length));
  const shares = sharesOf(frames.length);
  tally.title = shares.some(({ grid }) => together(grid))
    ? "Kept tokens of the frames that share them" : "Kept tokens of each frame";
  tally.replaceChildren(...shares.map(({ wide }) => {
    const bar = document.createElement("span");
    bar.style.flexGrow = wide;
    bar.append(...[0, 1, 2, 3].map((state) => {
      const part = document.createElement(state ? "i" : "b");
      if (state) part.dataset.state = state;
      return part;
    }));
    return bar;
  }));
}

// The grid of a frame; of families that put frames together it is that of several.
function gridAt(at) {
  const before = view.map.grids.filter((grid) => grid.frame <= at);
  return before[before.length - 1] || null;
}

// How many frames have the same tokens, this grid's.
function framesOn(grid) {
  const after = view.map.grids.find((other) => other.frame > grid.frame);
  return (after ? after.frame : view.map.frames.length) - grid.frame;
}

const together = (grid) => Boolean(grid) && framesOn(grid) > 1;

// The bars: a grid each, as wide as its frames; a frame each while the grids are not known.
function sharesOf(frames) {
  const firsts = new Set(view.map.grids.map((grid) => grid.frame));
  if (!firsts.size) return Array.from({ length: frames }, (_, first) => ({ first, wide: 1, grid: null }));
  return [...firsts].map((first) => {
    const grid = gridAt(first);
    return { first, wide: framesOn(grid), grid };
  });
}

// --- one frame or all --------------------------------------------------------------------

function goTo(at) {
  if (!isFilm()) return;
  const { cell } = view;
  view.frame = Math.max(0, Math.min(view.map.frames.length - 1, at));
  view.grid = gridAt(view.frame);
  if (cell && view.grid) showCell({ ...cell, grid: view.grid });
  else hideCell();
  redraw();
}

function nameCanvas() {
  const words = view.sheet
    ? "All frames. Arrow keys move between them, Enter shows one."
    : "Token overlay. Arrow keys move between patches" + (hand ? ", the space bar keeps or drops one." : ".");
  canvas.setAttribute("aria-label", words);
}

function showSheet(sheet) {
  view.sheet = sheet && isFilm();
  nameCanvas();
  fit();
}

// Columns, rows and the size of a frame, as large as the room allows.
function sheetCells(width, height) {
  const ratio = view.map.height / view.map.width;
  const n = view.map.frames.length;
  let best = null;
  for (let cols = 1; cols <= n; cols++) {
    const rows = Math.ceil(n / cols);
    const wide = Math.min(
      (width - SHEET_GAP * (cols - 1)) / cols,
      (height - SHEET_GAP * (rows - 1)) / rows / ratio,
    );
    const empty = cols * rows - n;
    if (!best || wide > best.wide + 1 || (wide > best.wide - 1 && empty < best.empty)) {
      best = { cols, rows, wide, high: wide * ratio, empty };
    }
  }
  return best;
}

// The frame at a place of the sheet, both in CSS pixels.
function frameUnder(x, y) {
  const { cols, wide, high } = view.cells;
  const [col, row] = [Math.floor(x / (wide + SHEET_GAP)), Math.floor(y / (high + SHEET_GAP))];
  const at = row * cols + col;
  return col < cols && at < view.map.frames.length ? at : null;
}

// A picture lies under the canvas; a frame is drawn on it.
function drawFrame(target, at, scale) {
  const shown = view.map.frames[at];
  if (shown && shown.image.complete && shown.image.naturalWidth) {
    target.imageSmoothingEnabled = true;
    target.drawImage(shown.image, 0, 0, scale.width, scale.height);
  }
  paintOn(target, scale, shown ? gridAt(at) : view.grid);
}

// `line` is how many pixels of the canvas a CSS pixel has.
function drawSheet(target, line) {
  const { cols, wide, high } = view.cells;
  const [width, height] = [Math.floor(wide * line), Math.floor(high * line)];
  view.map.frames.forEach((_, at) => {
    target.save();
    target.translate(
      Math.round((at % cols) * (wide + SHEET_GAP) * line),
      Math.round(Math.floor(at / cols) * (high + SHEET_GAP) * line),
    );
    target.beginPath();
    target.rect(0, 0, width, height);        // outlines end at the frame
    target.clip();
    drawFrame(target, at, scaleOf({ width, height }, line));
    if (wide >= NUMBERED) drawNumber(target, at, line);
    target.restore();
  });
}

function drawNumber(target, at, line) {
  target.font = "600 " + 11 * line + "px system-ui, sans-serif";
  target.textBaseline = "top";
  const words = String(at + 1);
  target.fillStyle = "rgba(10, 12, 20, 0.8)";
  target.fillRect(0, 0, target.measureText(words).width + 8 * line, 16 * line);
  target.fillStyle = "#fff";
  target.fillText(words, 4 * line, 3 * line);
}

// A frame around the frame that the keys are at.
function placeMarker() {
  const marker = find(".marker");
  marker.hidden = !view.sheet;
  if (!view.sheet) return;
  const { cols, wide, high } = view.cells;
  marker.style.left = (view.frame % cols) * (wide + SHEET_GAP) + "px";
  marker.style.top = Math.floor(view.frame / cols) * (high + SHEET_GAP) + "px";
  marker.style.width = wide + "px";
  marker.style.height = high + "px";
}

// --- how many tokens of each frame are kept ----------------------------------------------

// How many tokens of a grid are in each state.
function statesOf(grid) {
  const counts = [0, 0, 0, 0];
  for (let token = grid.offset; token < grid.offset + grid.size; token++) {
    counts[view.map.states[token]] += 1;
  }
  return counts;
}

// The same, null while it is not known.
function countsOf(grid) {
  return view.map.n && view.drawn !== null ? statesOf(grid) : null;
}

const keptOf = ([, left, right, both]) => left + right + both;

function showFilm() {
  placeMarker();
  if (!isFilm()) return;
  const { frames } = view.map;
  const shares = sharesOf(frames.length);
  const counts = shares.map(({ grid }) => countsOf(grid));
  const most = Math.max(1, ...counts.map((count) => (count ? keptOf(count) : 0)));
  tally.dataset.both = String(shownSides().length > 1);
  tally.toggleAttribute("data-narrow", tally.clientWidth / shares.length < NUMBERED_BAR);
  counts.forEach((count, at) => {
    const [bar, { first, wide }] = [tally.children[at], shares[at]];
    bar.toggleAttribute("data-shown", first <= view.frame && view.frame < first + wide);
    bar.firstChild.textContent = count ? keptOf(count) : "";
    for (const state of [1, 2, 3]) {
      bar.children[state].style.height = (count ? (100 * count[state]) / most : 0) + "%";
    }
  });
  find(".where").textContent = view.frame + 1 + " of " + frames.length + ", " + timeText();
  scrub.value = view.frame + 1;
  scrub.setAttribute("aria-valuetext", frameWords());
}

const timeText = () => view.map.frames[view.frame].time.toFixed(2) + " s";

function frameWords() {
  const grid = gridAt(view.frame);
  const count = countsOf(grid);
  const where = "Frame " + (view.frame + 1) + " of " + view.map.frames.length + " at " + timeText();
  if (!count) return where;
  const tokens = " tokens" + (together(grid) ? " of " + grid.label.toLowerCase() : "") + " kept";
  return where + ", " + number(keptOf(count)) + " of " + number(grid.size) + tokens;
}

// --- playing -----------------------------------------------------------------------------

let playing = 0;

function pause() {
  clearTimeout(playing);
  playing = 0;
  showPlaying();
}

function showPlaying() {
  find(".play").textContent = playing ? "Pause" : "Play";
}

function step() {
  const { frames } = view.map;
  const after = (view.frame + 1) % frames.length;
  if (!after && gentle()) {             // who wants little motion gets no endless one
    pause();
    return;
  }
  goTo(after);
  playNext();
}

function playNext() {
  const { frames } = view.map;
  const [here, after] = [frames[view.frame], frames[view.frame + 1]];
  const gap = after ? 1000 * (after.time - here.time) : GAP_MS[1];
  playing = setTimeout(step, Math.max(GAP_MS[0], Math.min(GAP_MS[1], gap)));
}

function playOrPause() {
  if (!isFilm()) return;
  if (playing) {
    pause();
    return;
  }
  if (view.sheet) choose("film", "frame");
  if (view.frame === view.map.frames.length - 1) goTo(0);
  playNext();
  showPlaying();
}

// --- controls ----------------------------------------------------------------------------

scrub.addEventListener("input", () => {
  pause();
  goTo(Number(scrub.value) - 1);
});
find(".play").addEventListener("click", playOrPause);
tally.addEventListener("pointerdown", (event) => {
  const box = tally.getBoundingClientRect();
  pause();
  goTo(Math.floor(((event.clientX - box.left) / box.width) * view.map.frames.length));
});
canvas.addEventListener("click", (event) => {
  if (!view.sheet) return;
  const box = canvas.getBoundingClientRect();
  const at = frameUnder(event.clientX - box.left, event.clientY - box.top);
  if (at === null) return;
  goTo(at);
  choose("film", "frame");
});

// What the person sees as a video: the server burns it in.
find(".export").addEventListener("click", (event) => {
  if (!pickable() || event.target.getAttribute("aria-disabled") === "true") return;
  showExporting(true);
  trigger("export", {
    id: view.id,
    mode: view.mode,
    side: view.side,
    kept: shownSides().map((side) => encodeBits(side.kept)),
    percent: view.drawn,
    dim: look.dim,
    palette: look.palette,
  });
});

function showExporting(busy) {
  const button = find(".export");
  button.disabled = !(view.map && view.map.n);
  button.setAttribute("aria-disabled", String(busy));          // it keeps the keyboard's focus
  button.textContent = busy ? "Saving MP4" : "Save MP4";
}
