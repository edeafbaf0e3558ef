// The two sides of a comparison: which visual tokens each method keeps at a budget, and how the
// sides differ. Knows no picture. A token's state is a number: kept by the first side counts 1, by
// the second 2.

const STEPS = 1000;                // positions of the budget, 0.1 % apart

function decodeArray(text, ArrayType) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new ArrayType(bytes.buffer);
}

// One bit for each flag, lowest bit first, as base64.
function encodeBits(flags) {
  const bytes = new Uint8Array(Math.ceil(flags.length / 8));
  flags.forEach((flag, i) => { bytes[i >> 3] |= flag << (i & 7); });
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

class Side {
  constructor(wire, n) {
    const Counts = n < 65535 ? Uint16Array : Uint32Array;
    this.name = wire.name;
    this.merges = wire.merges;
    this.fixed = wire.fixed;               // keeps the same at every budget
    this.n = n;
    this.low = wire.low;
    this.high = wire.high;
    this.scores = decodeArray(wire.scores, Uint16Array);
    this.weight = wire.weight ? decodeArray(wire.weight, Uint16Array) : null;
    this.twins = wire.twins ? decodeArray(wire.twins, Counts) : null;
    // The others keep what the server says, for one budget: see `choose`.
    this.live = Boolean(wire.ranks);
    this.kept = new Uint8Array(n);         // 1 where kept
    this.count = 0;
    this.percent = null;                   // the budget that `kept` belongs to
    if (!this.live) return;
    this.ranks = decodeArray(wire.ranks, Counts);
    this.keptAt = decodeArray(wire.kept_at, Counts);
    this.order = new Counts(n);
    this.ranks.forEach((rank, token) => { this.order[rank] = token; });
  }

  // How many tokens a budget leaves; null where it is out of reach.
  countAt(percent) {
    const count = this.keptAt[Math.round(percent * 10) - 1];
    return count > this.n ? null : count;
  }

  // The lowest budget that keeps so many tokens; all is always within reach.
  percentFor(count) {
    const step = this.keptAt.findIndex((at) => at >= count && at <= this.n);
    return (step + 1) / 10;
  }

  // Bring a live side to a budget: only tokens whose fate changes are touched.
  settle(percent) {
    const count = percent === null ? null : this.countAt(percent);
    this.percent = count === null ? null : percent;
    if (count === null) return;
    for (let rank = this.count; rank < count; rank++) this.kept[this.order[rank]] = 1;
    for (let rank = count; rank < this.count; rank++) this.kept[this.order[rank]] = 0;
    this.count = count;
  }

  // What the server says that the others keep: one bit for each token, lowest bit first.
  choose(bits, percent) {
    const bytes = decodeArray(bits, Uint8Array);
    this.count = 0;
    for (let token = 0; token < this.n; token++) {
      const kept = (bytes[token >> 3] >> (token & 7)) & 1;
      this.kept[token] = kept;
      this.count += kept;
    }
    this.percent = percent;
  }

  score(token) {
    return this.low + ((this.high - this.low) * this.scores[token]) / 65535;
  }

  // Colour of every token in a heat map: by rank, or by score where there is no lasting order.
  // The square root spreads the first ranks, where the interesting budgets are.
  get heat() {
    if (this.heatPalette !== look.palette) {
      const colours = heatColours();
      const share = this.live
        ? (token) => this.ranks[token] / this.n
        : (token) => 1 - this.scores[token] / 65535;
      this.heatPalette = look.palette;
      this.heatOf = Uint32Array.from(this.kept, (_, token) => (
        colours[Math.min(255, Math.floor(256 * Math.sqrt(share(token))))]
      ));
    }
    return this.heatOf;
  }
}

// The states of all tokens, and how many are in each.
function combine(sides, states) {
  const counts = [0, 0, 0, 0];
  const [first, second] = sides.map((side) => side.kept);
  for (let token = 0; token < states.length; token++) {
    const state = second ? first[token] | (second[token] << 1) : first[token];
    states[token] = state;
    counts[state] += 1;
  }
  return counts;
}
