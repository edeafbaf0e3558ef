// One token grid of the overlay: how the states of its tokens are painted on the picture.
// Knows nothing about the page around the canvas. A `paint` has
//   states  (n,) state of every token: 0 is dropped by all
//   fills   ABGR of a cell, by state
//   heat    (n,) ABGR of the cells that are kept, or null for `fills`
//   lines   colour of the outline and of row ends, by state
//   edges   whether to draw outlines
//   halo    whether to draw something dark under them
//   seam    colour of pixels that belong to no token

class TokenGrid {
  constructor(wire) {
    Object.assign(this, {
      id: wire.id, label: wire.label, rows: wire.rows, cols: wire.cols,
      stride: wire.stride, offset: wire.offset, frame: wire.frame,
    });
    this.blocks = wire.blocks.map(([r0, r1, c0, c1, x0, y0, x1, y1]) => (
      { r0, r1, c0, c1, x0, y0, x1, y1 }
    ));
    for (const block of this.blocks) block.beside = this.beside(block);
    this.size = this.rows * this.stride;         // row ends count
    this.endsRows = this.stride > this.cols;
    // the mask: one pixel per cell, scaled up when drawn
    this.mask = document.createElement("canvas");
    this.mask.width = this.cols;
    this.mask.height = this.rows;
    this.maskContext = this.mask.getContext("2d");
    this.image = this.maskContext.createImageData(this.cols, this.rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  keptOf(side) {
    let count = 0;
    for (let token = this.offset; token < this.offset + this.size; token++) {
      count += side.kept[token];
    }
    return count;
  }

  paintMask({ states, fills, heat }) {
    let cell = 0;
    for (let row = 0; row < this.rows; row++) {
      let token = this.offset + row * this.stride;
      for (let col = 0; col < this.cols; col++, token++, cell++) {
        const state = states[token];
        this.pixels[cell] = heat && state ? heat[token] : fills[state];
      }
    }
    this.maskContext.putImageData(this.image, 0, 0);
  }

  // Whole device pixels, or the edges of neighbouring blocks blend into a light hairline.
  blockArea(block, scale) {
    const left = Math.round(block.x0 * scale.x);
    const top = Math.round(block.y0 * scale.y);
    const width = Math.round(block.x1 * scale.x) - left;
    const height = Math.round(block.y1 * scale.y) - top;
    return [left, top, width, height];
  }

  // `scale` has pixels of the canvas: x and y for one of the picture, width and height of it all.
  draw(context, scale, paint) {
    const { width, height } = scale;
    this.paintMask(paint);
    context.imageSmoothingEnabled = false;
    // pixels that no token of this grid covers (crop seams) look dropped
    context.beginPath();
    context.rect(0, 0, width, height);
    for (const block of this.blocks) context.rect(...this.blockArea(block, scale));
    context.fillStyle = paint.seam;
    context.fill("evenodd");
    for (const block of this.blocks) {
      const { r0, r1, c0, c1 } = block;
      context.drawImage(this.mask, c0, r0, c1 - c0, r1 - r0, ...this.blockArea(block, scale));
    }
    if (paint.edges) this.drawOutline(context, scale, paint);
    if (this.endsRows) this.drawRowEnds(context, scale, paint);
  }

  drawRowEnds(context, scale, { states, lines }) {
    const { width, height } = scale;
    const tick = height / this.rows;
    const thick = 3 * scale.line;
    for (let row = 0; row < this.rows; row++) {
      const state = states[this.offset + row * this.stride + this.cols];
      if (!state) continue;
      context.fillStyle = lines[state];
      context.fillRect(width - thick, (row + 0.15) * tick, thick, 0.7 * tick);
    }
  }

  drawOutline(context, scale, { states, lines, halo }) {
    const found = lines.map(() => []);
    for (const block of this.blocks) this.edges(block, scale, states, found);
    // left out where it would cost more than it shows
    if (halo && found.reduce((sum, edges) => sum + edges.length, 0) < 2500) {
      context.fillStyle = "rgba(0, 0, 0, 0.75)";
      for (const edge of found.flat()) TokenGrid.fillEdge(context, edge, 3 * scale.line);
    }
    found.forEach((edges, state) => {
      if (!edges.length) return;
      context.fillStyle = lines[state];
      for (const edge of edges) TokenGrid.fillEdge(context, edge, 1.4 * scale.line);
    });
  }

  // Rectangles: the browser fills them faster than it strokes one long path.
  static fillEdge(context, [x, y, width, height], thick) {
    const half = thick / 2;
    context.fillRect(x - half, y - half, width + thick, height + thick);
  }

  // Borders between cells of different states as [x, y, width, height], edges on one line merged.
  // A border has the colour of the higher state: `found` has a list for each.
  edges(block, scale, states, found) {
    const { r0, r1, c0, c1 } = block;
    const stepX = ((block.x1 - block.x0) / (c1 - c0)) * scale.x;
    const stepY = ((block.y1 - block.y0) / (r1 - r0)) * scale.y;
    const x = (col) => block.x0 * scale.x + (col - c0) * stepX;
    const y = (row) => block.y0 * scale.y + (row - r0) * stepY;
    const around = this.around(block, states);
    const wide = c1 - c0 + 2;
    for (let row = r0; row <= r1; row++) {
      const below = (row - r0 + 1) * wide + 1 - c0;          // the place of column 0 in this row
      TokenGrid.runs(around, below - wide, below, 1, c0, c1, (state, from, to) => {
        found[state].push([x(from), y(row), x(to) - x(from), 0]);
      });
    }
    for (let col = c0; col <= c1; col++) {
      const right = (1 - r0) * wide + (col - c0 + 1);
      TokenGrid.runs(around, right - 1, right, wide, r0, r1, (state, from, to) => {
        found[state].push([x(col), y(from), 0, y(to) - y(from)]);
      });
    }
  }

  // The states of a block with a rim of what lies next to it on the picture.
  around({ r0, r1, c0, c1, beside }, states) {
    const wide = c1 - c0 + 2;
    const found = new Uint8Array((r1 - r0 + 2) * wide);
    const [top, bottom] = [beside.top ? r0 - 1 : r0, beside.bottom ? r1 + 1 : r1];
    const [left, right] = [beside.left ? c0 - 1 : c0, beside.right ? c1 + 1 : c1];
    for (let row = top; row < bottom; row++) {
      const start = this.offset + row * this.stride;
      const place = (row - r0 + 1) * wide + (left - c0 + 1);
      found.set(states.subarray(start + left, start + right), place);
    }
    return found;
  }

  // Pieces of one line, between the cells `one` and `other` steps along it, whose border has one
  // colour.
  static runs(around, one, other, step, first, last, add) {
    let start = first;
    let current = 0;
    for (let i = first; i <= last; i++) {
      const a = around[one + i * step];
      const b = around[other + i * step];
      const state = i === last || a === b ? 0 : Math.max(a, b);
      if (state === current) continue;
      if (current) add(current, start, i);
      start = i;
      current = state;
    }
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

  token(row, col) {
    return this.offset + row * this.stride + col;
  }

  // The row and column of a token; a column beyond the last one ends the row.
  place(token) {
    const within = token - this.offset;
    return { row: Math.floor(within / this.stride), col: within % this.stride };
  }

  // Where a cell lies, in picture pixels.
  area(row, col) {
    const block = this.blocks.find((b) => row >= b.r0 && row < b.r1 && col >= b.c0 && col < b.c1);
    const width = (block.x1 - block.x0) / (block.c1 - block.c0);
    const height = (block.y1 - block.y0) / (block.r1 - block.r0);
    return {
      left: block.x0 + (col - block.c0) * width,
      top: block.y0 + (row - block.r0) * height,
      width,
      height,
    };
  }
}
