// Every number of the step: its value, its symbol, and its formula with symbols and with numbers put in.
// A number is {q, l, j} or, on an edge, {q, l, i, j}: quantity, layer (0 is the inputs), and places among the drawn
// neurons; `i` is where the edge starts.

const D = JSON.parse(document.getElementById("data").textContent);
const L = D.layers.length;
const N = D.samples;

const plain = (values) => (Array.isArray(values) ? values.map(plain) : values === null ? null : Number(values));
for (const key of ["loss", "newLoss", "x", "y", "losses", "sampleLosses"]) D[key] = plain(D[key]);
for (const layer of D.layers) {
  for (const key of Object.keys(layer)) if (key !== "activation") layer[key] = plain(layer[key]);
}

const state = { stage: 0, sample: 0, digits: 6, speed: 1, zoom: 1, playing: false, language: D.language };

const EDGE = { w: "W", grad_w: "grad_W", new_w: "new_W" };
const BIAS = { b: "b", grad_b: "grad_b", new_b: "new_b" };

function valueOf({ q, l, i, j }, s = state.sample) {
  const layer = D.layers[l - 1];
  if (q in EDGE) return layer[EDGE[q]][i][j];
  if (q in BIAS) return layer[BIAS[q]][j];
  if (q === "total") return D.loss;
  if (q === "new_total") return D.newLoss;
  if (q === "loss") return D.losses[s][j];
  if (q === "y") return D.y[s][j];
  if (q === "x" || (q === "a" && l === 0)) return D.x[s][j];
  return layer[q][s][j];
}

// ------------------------------------------------------------------ writing numbers

const minus = (text) => text.replace("-", "−");

// For a formula: as many decimals as the reader asked for, no more than the number has; 0 asks for all of them.
function written_number(v, digits = state.digits) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
  const size = Math.abs(v);
  const all = String(v);
  let text = all;
  if (digits > 0 && v !== 0) {
    const fits = size < 1e6 && size >= 10 ** -(digits / 2 + 1);
    const rounded = fits ? v.toFixed(digits) : v.toExponential(digits - 1);
    if (rounded.length < all.length) text = rounded;
  }
  const [digitsPart, exponent] = text.split("e");
  return minus(digitsPart) + (exponent === undefined ? "" : ` · 10^{${minus(String(Number(exponent)))}}`);
}

// Within a formula: a sign or a power of ten is kept together.
function factor(v) {
  const text = written_number(v);
  return /^−|·/.test(text) ? `(${text})` : text;
}

// For the drawing: seven characters at most.
function short(v) {
  if (!Number.isFinite(v)) return written_number(v);
  const size = Math.abs(v);
  if (v !== 0 && (size < 0.001 || size >= 10000)) return minus(v.toExponential(1));
  const rounded = v.toFixed(size < 10 ? 4 : size < 100 ? 3 : size < 1000 ? 2 : 1);
  return minus(String(v).length < rounded.length ? String(v) : rounded);
}

// ------------------------------------------------------------------ symbols

const place = (l, j) => D.drawn[l][j] + 1;
const comma = Math.max(...D.sizes) > 9 ? "," : "";

function symbol({ q, l, i, j }) {
  const up = `^{(${l})}`;
  const edge = () => `_{${place(l - 1, i)}${comma}${place(l, j)}}${up}`;
  const unit = () => `_{${place(l, j)}}${up}`;
  switch (q) {
    case "total": return "L";
    case "new_total": return "L′";
    case "x": return `x_{${place(0, j)}}`;
    case "y": return `y_{${place(L, j)}}`;
    case "loss": return `ℓ_{${place(L, j)}}`;
    case "w": return "w" + edge();
    case "grad_w": return "∂L/∂w" + edge();
    case "new_w": return "w′" + edge();
    case "b": return "b" + unit();
    case "grad_b": return "∂L/∂b" + unit();
    case "new_b": return "b′" + unit();
    case "a": return l === 0 ? `x_{${place(0, j)}}` : "a" + unit();
    case "grad_a": return "∂L/∂a" + unit();
    case "delta": return "δ" + unit();
    default: return q + unit();
  }
}

// ------------------------------------------------------------------ formulas

// A sum over a layer, of which only some terms may be drawn; "…" stands for the others.
function sum(terms, size) {
  const all = [...terms];
  if (size > terms.length) all.splice(-1, 0, "…");
  return all.join(" + ");
}

const times = (...numbers) => numbers.join(" · ");
const over = (text, n) => (n === 1 ? text : `(${text}) / ${n}`);

// [with symbols, with numbers put in, what a symbol stands for], for a number that is worked out; null for one that is
// given. The second may be null, the third missing.
function lines(n) {
  const { q, l, i, j } = n;
  const layer = D.layers[l - 1];
  const v = (other) => factor(valueOf(other));
  const two = (text) => [text(symbol), text(v)];
  switch (q) {
    case "z": {
      const bias = layer.b ? [{ q: "b", l, j }] : [];
      return two((f) => sum([...D.drawn[l - 1].keys()].map((k) =>
        times(f({ q: "a", l: l - 1, j: k }), f({ q: "w", l, i: k, j }))), D.sizes[l - 1])
        + bias.map((b) => " + " + f(b)).join(""));
    }
    case "a": return l === 0 ? null : activationLines(n);
    case "loss": return lossLines(n, "value");
    case "total": return totalLines();
    case "grad_a": {
      if (l === L) return lossLines(n, "slope").map((text) => over(text, N));
      return two((f) => sum([...D.drawn[l + 1].keys()].map((k) =>
        times(f({ q: "delta", l: l + 1, j: k }), f({ q: "w", l: l + 1, i: j, j: k }))), D.sizes[l + 1]));
    }
    case "delta": return deltaLines(n);
    case "grad_w": return overSamples((s) => (f) => times(f({ q: "a", l: l - 1, j: i }, s), f({ q: "delta", l, j }, s)));
    case "grad_b": return overSamples((s) => (f) => f({ q: "delta", l, j }, s));
    case "new_w":
    case "new_b": {
      const [old, slope] = q === "new_w" ? ["w", "grad_w"] : ["b", "grad_b"];
      return [`${symbol({ q: old, l, i, j })} − η · ${symbol({ q: slope, l, i, j })}`,
        `${v({ q: old, l, i, j })} − ${factor(D.rate)} · ${v({ q: slope, l, i, j })}`];
    }
    default: return null;
  }
}

// A parameter's gradient is the sum over the samples; of many, the first three and the last are written.
function overSamples(term) {
  if (N === 1) return [term(0)(symbol), term(0)((n) => factor(valueOf(n)))];
  const samples = N <= 5 ? [...Array(N).keys()] : [0, 1, 2, N - 1];
  const numbers = samples.map((s) => term(s)((n) => factor(valueOf(n, s))));
  return [`Σ_{s} ${term(0)(symbol)}`, sum(numbers, N)];
}

function totalLines() {
  if (N === 1) {
    const shares = [...D.drawn[L].keys()].map((j) => ({ q: "loss", j }));
    return [sum(shares.map(symbol), D.sizes[L]), sum(shares.map((n) => factor(valueOf(n))), D.sizes[L])];
  }
  const shown = N <= 5 ? [...Array(N).keys()] : [0, 1, 2, N - 1];
  return [`Σ_{s} Σ_{k} ℓ_{k} / ${N}`, `(${sum(shown.map((s) => factor(D.sampleLosses[s])), N)}) / ${N}`];
}

const blockOf = (entry, described, k) => {
  const widths = entry.blocks && entry.blocks(described.arguments && described.arguments[0]);
  let [start, end] = [0, Infinity];
  for (const width of widths || []) {
    if (k < start + width) { end = start + width; break; }
    start += width;
  }
  return [start, end];
};

// The drawn neurons that share a softmax with neuron j of the last layer, and how many share it in all.
function block(j) {
  const described = D.layers[L - 1].activation;
  const [start, end] = blockOf(ACTIVATIONS[described.name], described, D.drawn[L][j]);
  const members = [...D.drawn[L].keys()].filter((k) => D.drawn[L][k] >= start && D.drawn[L][k] < end);
  return [members, Math.min(end, D.sizes[L]) - start];
}

function activationLines({ l, j }) {
  const { activation } = D.layers[l - 1];
  const entry = written(ACTIVATIONS, activation, "$z");
  const z = { q: "z", l, j };
  if (entry.blocks) {
    const [members, size] = block(j);
    const text = (f) => `e^{${f(z)}} / (${sum(members.map((k) => `e^{${f({ q: "z", l, j: k })}}`), size)})`;
    return [text(symbol), text((n) => factor(valueOf(n)))];
  }
  const [symbols, numbers] = bothLines(entry, "value", activation, { z: symbol(z) },
    { z: valueOf(z) }, factor);
  const name = entry.own || activation.name === "identity" ? "" : `${quoted(activation.name)}(${symbol(z)}) = `;
  return [activation.name === "tanh" ? symbols : name + symbols, numbers];
}

function lossLines({ j }, side) {
  const loss = D.lossFunction;
  const levels = loss.arguments && Array.isArray(loss.arguments[0]) ? [loss.arguments[0][D.drawn[L][j]]] : loss.arguments;
  const names = { a: { q: "a", l: L, j }, y: { q: "y", j } };
  const each = (f) => Object.fromEntries(Object.entries(names).map(([name, n]) => [name, f(n)]));
  return bothLines(written(LOSSES, loss, "$a, $y"), side, { arguments: levels }, each(symbol), each((n) => valueOf(n)), factor);
}

function deltaLines({ l, j }) {
  const { activation } = D.layers[l - 1];
  const v = (n) => factor(valueOf(n));
  const [g, a, z] = ["grad_a", "a", "z"].map((q) => ({ q, l, j }));
  if (l === L && D.fused) {
    return [symbol, v].map((f) => over(`${f(a)} − ${f({ q: "y", j })}`, N));
  }
  const entry = written(ACTIVATIONS, activation, "$z");
  if (entry.blocks) {
    const [members, size] = block(j);
    const text = (f) => `${f(a)} · (${f(g)} − (${sum(members.map((k) =>
      times(f({ q: "grad_a", l, j: k }), f({ q: "a", l, j: k }))), size)}))`;
    return [text(symbol), text(v)];
  }
  if (entry.own && !activation.elementwise) {
    return [`Σ_{k} ∂L/∂a_{k}^{(${l})} · ∂a_{k}^{(${l})}/∂z_{${place(l, j)}}^{(${l})}`, null];
  }
  const [symbols, numbers] = bothLines(entry, "slope", activation, { z: symbol(z), a: symbol(a) },
    { z: valueOf(z), a: valueOf(a) }, factor);
  const product = (f, slope) => (slope === "1" ? f(g) : times(f(g), bracketed(slope)));
  const slope = `f′(${symbol(z)})`;
  return entry.own ? [product(symbol, symbols), product(v, numbers)]
    : [times(symbol(g), slope), product(v, numbers), `${slope} = ${symbols}`];
}
