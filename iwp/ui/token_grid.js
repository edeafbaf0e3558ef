// One token grid of the overlay: which cells a budget keeps, and how they are painted.
// Knows nothing about the page around the canvas.

const DROPPED = 0xc8140c0a;        // ABGR of a dropped patch, almost opaque
const DROPPED_SOFT = 0x8c140c0a;   // the same in outline mode
const SEAM = { outline: "rgba(10, 12, 20, 0.55)", other: "rgba(10, 12, 20, 0.78)" };
const KEPT_LINE = "#ffd54a";
const HEAT_STOPS = [
  [253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [68, 1, 84],
];

// 256 colours from first kept to last kept, ABGR
const HEAT = Uint32Array.from({ length: 256 }, (_, i) => {
  const position = (i / 255) * (HEAT_STOPS.length - 1);
  const low = Math.min(HEAT_STOPS.length - 2, Math.floor(position));
  const mix = (channel) => Math.round(
    HEAT_STOPS[low][channel]
    + (HEAT_STOPS[low + 1][channel] - HEAT_STOPS[low][channel]) * (position - low),
  );
  return ((0x99 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0)) >>> 0;
});

function keepCount(n, budget) {
  return Math.min(n, Math.max(1, Math.floor(budget * n + 0.5)));
}

function decodeArray(text, ArrayType) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new ArrayType(bytes.buffer);
}

class TokenGrid {
  constructor(wire, total) {
    Object.assign(this, {
      id: wire.id, label: wire.label, rows: wire.rows, cols: wire.cols,
      stride: wire.stride, offset: wire.offset, low: wire.low, high: wire.high, total,
    });
    this.blocks = wire.blocks.map(([r0, r1, c0, c1, x0, y0, x1, y1]) => (
      { r0, r1, c0, c1, x0, y0, x1, y1 }
    ));
    for (const block of this.blocks) block.beside = this.beside(block);
    this.ranks = decodeArray(wire.ranks, Uint32Array);
    this.scores = decodeArray(wire.scores, Uint16Array);
    this.rowEnds = wire.row_ends ? decodeArray(wire.row_ends, Uint32Array) : null;
    // cells in the order in which they are kept, and their ranks in that order
    this.order = Uint32Array.from(this.ranks.keys()).sort((a, b) => this.ranks[a] - this.ranks[b]);
    this.sortedRanks = this.order.map((cell) => this.ranks[cell]);
    this.sortedRowEnds = this.rowEnds ? this.rowEnds.slice().sort() : null;
    // the mask: one pixel per cell, scaled up when drawn
    this.mask = document.createElement("canvas");
    this.mask.width = this.cols;
    this.mask.height = this.rows;
    this.maskContext = this.mask.getContext("2d");
    this.image = this.maskContext.createImageData(this.cols, this.rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.painted = { mode: null, count: 0 };
  }

  static countBelow(sorted, limit) {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  size() {
    return this.ranks.length + (this.rowEnds ? this.rowEnds.length : 0);
  }

  keptOf(keep) {
    const rowEnds = this.sortedRowEnds ? TokenGrid.countBelow(this.sortedRowEnds, keep) : 0;
    return TokenGrid.countBelow(this.sortedRanks, keep) + rowEnds;
  }

  // The square root spreads the first ranks, where the interesting budgets are.
  heat(rank) {
    return HEAT[Math.min(255, Math.floor(256 * Math.sqrt(rank / this.total)))];
  }

  // Bring the mask to `keep`: only cells whose fate changed since the last call are written.
  paintMask(keep, mode) {
    const count = TokenGrid.countBelow(this.sortedRanks, keep);
    let from = 0;
    let to = this.order.length;
    if (this.painted.mode === mode) {
      from = Math.min(this.painted.count, count);
      to = Math.max(this.painted.count, count);
    }
    const dropped = mode === "outline" ? DROPPED_SOFT : DROPPED;
    for (let i = from; i < to; i++) {
      const cell = this.order[i];
      const kept = mode === "heat" ? this.heat(this.sortedRanks[i]) : 0;
      this.pixels[cell] = i < count ? kept : dropped;
    }
    if (to > from) this.maskContext.putImageData(this.image, 0, 0);
    this.painted = { mode, count };
  }

  // Whole device pixels, or the edges of neighbouring blocks blend into a light hairline.
  blockArea(block, scale) {
    const left = Math.round(block.x0 * scale.x);
    const top = Math.round(block.y0 * scale.y);
    const width = Math.round(block.x1 * scale.x) - left;
    const height = Math.round(block.y1 * scale.y) - top;
    return [left, top, width, height];
  }

  draw(context, scale, keep, mode) {
    if (mode === "off") return;
    const { width, height } = context.canvas;
    this.paintMask(keep, mode);
    context.imageSmoothingEnabled = false;
    // pixels that no token of this grid covers (crop seams) look dropped
    context.beginPath();
    context.rect(0, 0, width, height);
    for (const block of this.blocks) context.rect(...this.blockArea(block, scale));
    context.fillStyle = mode === "outline" ? SEAM.outline : SEAM.other;
    context.fill("evenodd");
    for (const block of this.blocks) {
      const { r0, r1, c0, c1 } = block;
      context.drawImage(this.mask, c0, r0, c1 - c0, r1 - r0, ...this.blockArea(block, scale));
    }
    if (mode === "outline") this.drawOutline(context, scale, keep);
    if (this.rowEnds) this.drawRowEnds(context, scale, keep);
  }

  drawRowEnds(context, scale, keep) {
    const { width, height } = context.canvas;
    const tick = height / this.rows;
    context.fillStyle = KEPT_LINE;
    for (let row = 0; row < this.rows; row++) {
      if (this.rowEnds[row] >= keep) continue;
      const thick = 3 * scale.line;
      context.fillRect(width - thick, (row + 0.15) * tick, thick, 0.7 * tick);
    }
  }

  drawOutline(context, scale, keep) {
    const lines = this.blocks.flatMap((block) => this.edges(block, scale, keep));
    // a dark halo under the line; left out where it would cost more than it shows
    if (lines.length < 2500) {
      context.fillStyle = "rgba(0, 0, 0, 0.75)";
      for (const edge of lines) TokenGrid.fillEdge(context, edge, 3 * scale.line);
    }
    context.fillStyle = KEPT_LINE;
    for (const edge of lines) TokenGrid.fillEdge(context, edge, 1.4 * scale.line);
  }

  // Rectangles: the browser fills them faster than it strokes one long path.
  static fillEdge(context, [x, y, width, height], thick) {
    const half = thick / 2;
    context.fillRect(x - half, y - half, width + thick, height + thick);
  }

  // Border between kept and dropped cells as [x, y, width, height], edges on one line merged.
  edges(block, scale, keep) {
    const { r0, r1, c0, c1, beside } = block;
    const stepX = ((block.x1 - block.x0) / (c1 - c0)) * scale.x;
    const stepY = ((block.y1 - block.y0) / (r1 - r0)) * scale.y;
    const x = (col) => block.x0 * scale.x + (col - c0) * stepX;
    const y = (row) => block.y0 * scale.y + (row - r0) * stepY;
    const { ranks, cols } = this;
    const kept = (row, col) => {
      if ((row < r0 && !beside.top) || (row >= r1 && !beside.bottom)) return false;
      if ((col < c0 && !beside.left) || (col >= c1 && !beside.right)) return false;
      return ranks[row * cols + col] < keep;
    };
    const found = [];
    const runs = (first, last, isEdge, line) => {
      let start = -1;
      for (let i = first; i <= last; i++) {
        const edge = i < last && isEdge(i);
        if (edge && start < 0) start = i;
        if (!edge && start >= 0) {
          found.push(line(start, i));
          start = -1;
        }
      }
    };
    for (let row = r0; row <= r1; row++) {
      runs(c0, c1, (col) => kept(row - 1, col) !== kept(row, col), (from, to) => (
        [x(from), y(row), x(to) - x(from), 0]
      ));
    }
    for (let col = c0; col <= c1; col++) {
      runs(r0, r1, (row) => kept(row, col - 1) !== kept(row, col), (from, to) => (
        [x(col), y(from), 0, y(to) - y(from)]
      ));
    }
    return found;
  }

  // On which sides the next cells of the grid are also next on the picture. Tiles that are stacked
  // in one grid lie elsewhere.
  beside(block) {
    const near = (a, b, cell) => Math.abs(a - b) < cell / 2;
    const wide = (block.x1 - block.x0) / (block.c1 - block.c0);
    const high = (block.y1 - block.y0) / (block.r1 - block.r0);
    const some = (test) => this.blocks.some(test);
    const sameCols = (b) => b.c0 === block.c0 && near(b.x0, block.x0, wide);
    const sameRows = (b) => b.r0 === block.r0 && near(b.y0, block.y0, high);
    return {
      top: some((b) => b.r1 === block.r0 && sameCols(b) && near(b.y1, block.y0, high)),
      bottom: some((b) => b.r0 === block.r1 && sameCols(b) && near(b.y0, block.y1, high)),
      left: some((b) => b.c1 === block.c0 && sameRows(b) && near(b.x1, block.x0, wide)),
      right: some((b) => b.c0 === block.c1 && sameRows(b) && near(b.x0, block.x1, wide)),
    };
  }

  // The cell under a picture pixel, or null on a seam.
  cellAt(x, y) {
    for (const { r0, r1, c0, c1, x0, y0, x1, y1 } of this.blocks) {
      if (x < x0 || x >= x1 || y < y0 || y >= y1) continue;
      return {
        grid: this,
        row: r0 + Math.floor(((y - y0) / (y1 - y0)) * (r1 - r0)),
        col: c0 + Math.floor(((x - x0) / (x1 - x0)) * (c1 - c0)),
      };
    }
    return null;
  }

  // What a cell is, in picture pixels and numbers.
  describe(row, col) {
    const cell = row * this.cols + col;
    const block = this.blocks.find((b) => row >= b.r0 && row < b.r1 && col >= b.c0 && col < b.c1);
    const width = (block.x1 - block.x0) / (block.c1 - block.c0);
    const height = (block.y1 - block.y0) / (block.r1 - block.r0);
    return {
      rank: this.ranks[cell],
      score: this.low + ((this.high - this.low) * this.scores[cell]) / 65535,
      token: this.offset + row * this.stride + col,
      x: block.x0 + (col - block.c0) * width,
      y: block.y0 + (row - block.r0) * height,
      width,
      height,
    };
  }
}
