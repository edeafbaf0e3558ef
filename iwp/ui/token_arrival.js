// A comparison that begins: on a narrow page its map lies far below the button and comes into view.
// Continues token_map.js in the same scope.

const ALONE = 2 / 3;               // of the window's width: a wider map has no column beside it

function bringIntoView() {
  if (root.clientWidth < ALONE * window.innerWidth) return;
  const { top, bottom, height } = frame.getBoundingClientRect();
  const seen = Math.min(bottom, window.innerHeight) - Math.max(top, 0);
  if (seen > height / 2) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  root.scrollIntoView({ behavior: still ? "auto" : "smooth" });
}
