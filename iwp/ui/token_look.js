// How the overlay looks: how much the dropped patches are dimmed, and the colours of a heat map.
// Knows neither tokens nor the page.

const look = { dim: 0.78, palette: "viridis" };

const SHADE = [10, 12, 20];
const OUTLINE_DIM = 0.7;           // lighter under an outline, which tells the patches already
const KEPT_LINE = "#ffd54a";
const abgr = ([red, green, blue], alpha) => (
  ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0
);
const css = ([red, green, blue], alpha) => (
  "rgba(" + [red, green, blue, alpha].join(", ") + ")"
);
const DIFFERENCE_LINES = ["", css(COLOURS.left, 1), css(COLOURS.right, 1), "#fff"];

// How a picture looks by mode; lists are by state. `both` is the difference of two sides.
function paintOf(mode, both) {
  const edges = mode === "outline";
  const dim = look.dim * (edges ? OUTLINE_DIM : 1);
  const paint = { edges, seam: css(SHADE, dim), fills: [abgr(SHADE, dim), 0] };
  if (!both) return { ...paint, halo: edges, lines: ["", KEPT_LINE] };
  const tint = edges ? 0.25 : 0.55;
  return {
    ...paint,
    fills: [abgr(SHADE, dim), abgr(COLOURS.left, tint), abgr(COLOURS.right, tint), 0],
    lines: DIFFERENCE_LINES,
    halo: false,                   // fills tell the patches from the picture
  };
}

// Both can be read with any kind of colour vision, and without any: they only grow darker.
const PALETTES = {
  viridis: [[253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [68, 1, 84]],
  cividis: [[254, 232, 56], [188, 175, 111], [125, 124, 120], [65, 77, 107], [0, 34, 78]],
};

const gradient = () => (
  "linear-gradient(90deg, " + PALETTES[look.palette].map((stop) => css(stop, 1)).join(", ") + ")"
);

// 256 colours from first kept to last kept, ABGR
function heatColours() {
  const stops = PALETTES[look.palette];
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const position = (i / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(position));
    const mix = (channel) => Math.round(
      stops[low][channel] + (stops[low + 1][channel] - stops[low][channel]) * (position - low),
    );
    return abgr([mix(0), mix(1), mix(2)], 0.6);
  });
}
