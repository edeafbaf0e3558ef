// What the widget says about the patches: counts, legend, and the dual weight at every budget.
// Continues token_map.js in the same scope.

const number = (value) => value.toLocaleString("en");
const percentText = (percent) => (percent === 100 ? "100" : percent.toFixed(1)) + " %";

// --- what a view shows, whatever the budget ------------------------------------------------

// Called when the view or the picture changes.
function showView() {
  const sides = shownSides();
  const [side] = sides;
  const both = sides.length > 1;
  find(".heat-legend i").style.background = gradient();
  find(".heat-legend").hidden = view.mode !== "heat" || both;
  find(".heat-first").textContent = side && !side.live ? "high score" : "kept first";
  find(".heat-last").textContent = side && !side.live ? "low score" : "kept last";
  find(".difference-legend").hidden = !both;
  if (both) {
    const names = ["neither", "only " + side.name, "only " + sides[1].name, "both"];
    for (const entry of find(".difference-legend").children) {
      entry.querySelector("span").textContent = names[entry.dataset.state];
    }
  }
  const merging = sides.filter((one) => one.merges).map((one) => one.name);
  find(".merged").textContent = merging.length
    ? merging.join(" and ") + " merged: dropped patches went into those that are lit." : "";
  find(".ends").textContent = view.grid && view.grid.endsRows && view.mode !== "off"
    ? "Dashes at the right edge: row ends that are kept, a token after each row of patches." : "";
  find(".budget-name").textContent = view.map && view.map.convention === "average"
    ? "Layer average" : "Token budget";
  find('[data-value="heat"]').disabled = both;
  drawCurve();
}

for (const entry of find(".difference-legend").children) {
  const state = Number(entry.dataset.state);
  if (state % 3) entry.querySelector("i").style.background = DIFFERENCE_LINES[state];
}

// --- what the budget keeps -----------------------------------------------------------------

function showBudget() {
  const { map, percent } = view;
  find(".percent").textContent = percentText(percent);
  range.style.setProperty("--fill", ((percent - range.min) / (100 - range.min)) * 100 + "%");
  for (const button of presets.children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.percent) === percent));
  }
  const summary = map && map.n ? summaryOf(shownSides()) : map ? "its visual tokens are not ranked yet" : "";
  find(".summary").textContent = summary;
  find(".lasting").textContent = lasting();
  range.setAttribute("aria-valuetext", percentText(percent) + (summary ? ", " + summary : ""));
  for (const entry of find(".difference-legend").children) {
    entry.querySelector("b").textContent = view.drawn === null
      ? "" : number(view.counts[entry.dataset.state] || 0);
  }
  markCurve();
}

function summaryOf(sides) {
  const { n, grids } = view.map;
  if (view.drawn === null) return unknown(sides);
  if (sides.length > 1) {
    const [left, right] = sides;
    return left.name + " keeps " + number(left.count) + " and " + right.name + " "
      + number(right.count) + " of " + number(n) + " visual tokens";
  }
  const [side] = sides;
  const name = hand || view.map.sides.length > 1 ? side.name + " " : "";
  let summary = name + "keeps " + number(side.count) + " of " + number(n) + " visual tokens";
  if (isFilm()) {
    if (!view.sheet && view.grid) {
      const where = together(view.grid) ? view.grid.label.toLowerCase() : "this frame";
      summary += ", " + number(view.grid.keptOf(side)) + "/" + number(view.grid.size) + " of " + where;
    }
  } else if (grids.length > 1) {
    const parts = grids.map((grid) => (
      grid.label + " " + number(grid.keptOf(side)) + "/" + number(grid.size)
    ));
    summary += " (" + parts.join(", ") + ")";
  }
  if (side.weight) {
    summary += ", " + (100 * weightKept(side, view.percent)).toFixed(1) + " % of the dual weight";
  }
  return summary;
}

// Why nothing is drawn.
function unknown(sides) {
  const far = sides.find((side) => side.live && side.countAt(view.percent) === null);
  if (far) {
    return far.name + " reaches no layer average below " + percentText(far.percentFor(0));
  }
  return "the patches appear with the answer";
}

// What holds for methods that choose anew for every budget.
function lasting() {
  const waiting = shownSides().filter((side) => !side.live && !side.fixed).map((side) => side.name);
  if (!waiting.length) return "";
  const verb = waiting.length > 1 ? " redraw on release." : " redraws on release.";
  const stale = view.drawn !== null && view.drawn !== view.percent;
  return (stale ? "Drawn for " + percentText(view.drawn) + ": " : "") + waiting.join(" and ") + verb;
}

// --- dual weight kept, at every budget -----------------------------------------------------

const CURVE_POINTS = 200;
const budgetX = (percent) => ((percent - range.min) / (100 - range.min)) * 100;

function weightKept(side, percent) {
  return side.weight[side.countAt(percent) || 0] / 65535;
}

function weighedSide() {
  const sides = shownSides();
  return sides.length === 1 && sides[0].live && sides[0].weight ? sides[0] : null;
}

function drawCurve() {
  const side = weighedSide();
  find(".curve").toggleAttribute("hidden", !side);
  if (!side) return;
  const points = [];
  for (let i = 0; i <= CURVE_POINTS; i += 1) {
    const percent = Number(range.min) + ((100 - range.min) * i) / CURVE_POINTS;
    const kept = weightKept(side, percent);
    points.push(budgetX(percent).toFixed(2) + " " + (100 - 100 * kept).toFixed(2));
  }
  find(".curve-line").setAttribute("d", "M" + points.join("L"));
  find(".curve-area").setAttribute("d", "M0 100L" + points.join("L") + "L100 100Z");
}

function markCurve() {
  const side = weighedSide();
  if (!side) return;
  const height = 100 - 100 * weightKept(side, view.percent);
  find(".curve-mark").setAttribute("d", "M" + budgetX(view.percent) + " 100V" + height);
}
