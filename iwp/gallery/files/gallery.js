// The gallery around the page's own widget: which example is open, and the recorded answers at the
// budget of the slider. `overlayWidget` comes from overlay.js.

const byId = (id) => document.getElementById(id);
const host = byId("token-map");
const buttons = [...document.querySelectorAll("#examples button")];
const wishes = new URLSearchParams(location.search);
const props = { value: null };
const watchers = [];
let shown = null;                  // the recorded example

overlayWidget(
  host,
  props,
  (name) => { if (name === "release") answer(); },
  (_, changed) => watchers.push(changed),
);
const { tokenMap } = host.querySelector(".token-map");

const percent = (budget) => Number((100 * budget).toFixed(1)) + " %";

// The answers at the recorded budget that is next to the slider's.
function answer() {
  if (!shown) return;
  const budget = tokenMap.budget();
  const distance = (result) => Math.abs(result.budget - budget);
  const nearest = shown.results.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  const exact = distance(nearest) < 0.0005;
  byId("left-answer").textContent = nearest.baseline;
  byId("right-answer").textContent = nearest.pruned;
  byId("measured").innerHTML = nearest.measured;
  byId("beside").textContent = exact
    ? "Recorded at " + percent(nearest.budget) + "."
    : "The patches are those of " + percent(budget) + ", the answers were recorded at "
      + percent(nearest.budget) + ", the nearest budget.";
  remember(budget);
}

// The address brings the view back.
function remember(budget) {
  const query = new URLSearchParams({ example: shown.number, b: Number((100 * budget).toFixed(1)) });
  history.replaceState(null, "", "?" + query);
}

let wanted = 0;                    // of quick clicks the last one counts
async function open(number) {
  wanted = number;
  try {
    const response = await fetch("data/" + number + ".json");
    if (!response.ok) throw new Error(String(response.status));
    const found = await response.json();
    if (wanted === number) show(found);
  } catch (error) {
    if (wanted === number) byId("beside").textContent = "This example could not be loaded. Try again.";
  }
}

function show(found) {
  shown = found;
  buttons.forEach((button) => (
    button.setAttribute("aria-pressed", String(Number(button.dataset.number) === found.number))
  ));
  byId("question").textContent = found.question;
  props.value = found.map;
  watchers.forEach((changed) => changed());
  answer();
}

for (const button of buttons) {
  button.addEventListener("click", () => open(Number(button.dataset.number)));
}
const budget = Number(wishes.get("b"));
if (budget >= 0.1 && budget <= 100) tokenMap.setPercent(budget);
const first = buttons.find((button) => button.dataset.number === wishes.get("example")) || buttons[0];
open(Number(first.dataset.number));
