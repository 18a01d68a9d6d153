// The drawing: neurons in columns, edges between them, and the numbers of the current stage on both.

const svg = document.getElementById("network");
const BOX = { width: 104, height: 56 };
const TOP = 52; // for the columns' titles
const MARGIN = 150; // left of the first column's middle and right of the last one's
// Between columns: the least, the least with room for numbers on the edges, the most.
const CLOSE = 128, LABELLED = 172, FAR = 260;
let GAP = 210;

// An element of the drawing; the namespace is the parent's.
function draw(parent, tag, attributes = {}) {
  const element = document.createElementNS(svg.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}

// ------------------------------------------------------------------ places

const hidden = (l) => D.sizes[l] - D.drawn[l].length;
const neuronRows = (l) => D.drawn[l].length + (hidden(l) > 0 ? 1 : 0);
// Below a layer's neurons stands the bias unit of the next one; below the outputs' losses their total.
const rows = (l) => neuronRows(l) + (l === L || D.layers[l].b ? 1 : 0);
const MOST = Math.max(...D.sizes.map((_, l) => rows(l)));
const [ROW, RADIUS, CHORD] = MOST <= 5 ? [100, 35, 56] : [82, 32, 54]; // the chord is a circle's at its number's lower edge
const SIZE = { get width() { return GAP * (L + 1) + MARGIN; }, height: MOST * ROW + TOP };
const columnX = (l) => 62 + l * GAP + (l > L ? 14 : 0);
const spacing = (l) => Math.min((MOST * ROW) / rows(l), ROW * 1.35);
const rowY = (l, row) => TOP + (MOST * ROW) / 2 + (row - (rows(l) - 1) / 2) * spacing(l);
const neuronRow = (l, j) => (hidden(l) > 0 && j === D.drawn[l].length - 1 ? j + 1 : j);
const neuronY = (l, j) => rowY(l, neuronRow(l, j));
const lastRowY = (l) => rowY(l, rows(l) - 1);

// How far apart the columns stand in a window, in steps of 4 so that a resized one is seldom drawn anew.
function gapFor(width, height) {
  const scale = Math.max(SMALLEST, Math.min(height / SIZE.height, LARGEST));
  const wanted = (width / scale - MARGIN) / (L + 1);
  const readable = width / (LABELLED * (L + 1) + MARGIN) >= 0.8;
  return 4 * Math.floor(Math.max(readable ? LABELLED : CLOSE, Math.min(wanted, FAR)) / 4);
}

// Where between two columns a layer's labels stand so that no two touch; null where there is no such place.
function labelColumn(l) {
  const mine = edges.filter((e) => e.l === l);
  let [best, column] = [0, null];
  for (let x = columnX(l - 1) + RADIUS + 36; x <= columnX(l) - RADIUS - 36; x += 2) {
    const sorted = mine.map((e) => labelY(e, x)).sort((p, q) => p - q);
    const gap = Math.min(...sorted.slice(1).map((y, k) => y - sorted[k]), 40);
    if (gap > best + 0.5) [best, column] = [gap, x];
  }
  return best >= 16 ? column : null;
}

const labelY = (edge, x) => edge.y1 + ((x - edge.x1) / (edge.x2 - edge.x1)) * (edge.y2 - edge.y1);

// ------------------------------------------------------------------ elements

const nodes = []; // {l, j, kind, group, ...}
const edges = []; // {l, i, j} or, of a bias, {l, j}; {group, y1, y2, ...}

function buildNetwork() {
  svg.replaceChildren();
  nodes.length = edges.length = 0;
  svg.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
  const [below, above] = [draw(svg, "g"), draw(svg, "g")];
  const labels = draw(svg, "g");
  for (let l = 1; l <= L; l++) {
    for (const j of D.drawn[l].keys()) {
      for (const i of D.drawn[l - 1].keys()) addEdge(below, { l, i, j }, columnX(l - 1) + RADIUS, neuronY(l - 1, i));
      if (D.layers[l - 1].b) addEdge(below, { l, j }, columnX(l - 1) + RADIUS, lastRowY(l - 1));
    }
    const column = labelColumn(l);
    for (const edge of edges.filter((e) => e.l === l)) addLabel(labels, edge, column);
  }
  for (const j of D.drawn[L].keys()) {
    const y = neuronY(L, j);
    const wire = draw(below, "g", { class: "wire", "data-j": j });
    const [from, to] = [columnX(L) + RADIUS, columnX(L + 1) - BOX.width / 2];
    for (const name of ["line", "flow"]) draw(wire, "path", { class: name, d: `M${from} ${y}H${to}` });
    draw(below, "path", { class: "sum", d: `M${columnX(L + 1)} ${y}V${lastRowY(L)}` });
  }
  for (let l = 0; l <= L; l++) buildColumn(above, l);
  columnTitle(above, L + 1);
  for (const j of D.drawn[L].keys()) addBox(above, { kind: "loss", j }, neuronY(L, j));
  addBox(above, { kind: "total" }, lastRowY(L));
}

function buildColumn(parent, l) {
  columnTitle(parent, l);
  for (const j of D.drawn[l].keys()) {
    const group = draw(parent, "g", { class: "node", transform: `translate(${columnX(l)} ${neuronY(l, j)})` });
    draw(group, "circle", { r: RADIUS });
    draw(group, "text", { class: "name", y: -9 });
    draw(group, "text", { class: "value", y: 9 });
    draw(group, "text", { class: "error", y: RADIUS + 13 });
    nodes.push({ kind: "neuron", l, j, group });
  }
  if (hidden(l) > 0) {
    const y = rowY(l, D.drawn[l].length - 1);
    draw(parent, "text", { class: "dots", x: columnX(l), y: y - 4 }).textContent = "⋮";
    draw(parent, "text", { class: "more", x: columnX(l), y: y + 18, "data-more": hidden(l) });
  }
  if (l < L && D.layers[l].b) {
    const group = draw(parent, "g", { class: "bias", transform: `translate(${columnX(l)} ${lastRowY(l)})` });
    draw(group, "path", { class: "stub", d: `M16 0H${RADIUS}` });
    draw(group, "rect", { x: -16, y: -16, width: 32, height: 32, rx: 5 });
    draw(group, "text", { class: "value", y: 0 }).textContent = "1";
    draw(group, "text", { class: "caption", y: 29 });
  }
}

function columnTitle(parent, l) {
  const group = draw(parent, "g", { class: "column", "data-l": l, transform: `translate(${columnX(l)} 18)` });
  draw(group, "text", { class: "layer" });
  draw(group, "text", { class: "function", y: 18 });
}

function addBox(parent, { kind, j }, y) {
  const group = draw(parent, "g", { class: `node box ${kind}`, transform: `translate(${columnX(L + 1)} ${y})` });
  draw(group, "rect", { x: -BOX.width / 2, y: -BOX.height / 2, width: BOX.width, height: BOX.height, rx: 8 });
  draw(group, "text", { class: "name", y: -11 });
  draw(group, "text", { class: "value", y: 12 });
  nodes.push({ kind, l: L + 1, j, group });
}

function addEdge(parent, edge, x1, y1) {
  const [x2, y2] = [columnX(edge.l) - RADIUS, neuronY(edge.l, edge.j)];
  const group = draw(parent, "g", { class: "edge" });
  for (const name of ["hit", "line", "flow"]) draw(group, "path", { class: name, d: `M${x1} ${y1}L${x2} ${y2}` });
  edges.push({ ...edge, kind: "edge", group, x1, y1, x2, y2 });
}

function addLabel(parent, edge, column) {
  edge.crowded = column === null;
  const x = column ?? (edge.x1 + edge.x2) / 2;
  edge.label = draw(parent, "text", { class: column === null ? "label crowded" : "label", x, y: labelY(edge, x) });
}

// ------------------------------------------------------------------ numbers on them

const lowered = (number) => String(number).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
function clipped(name) {
  const most = Math.min(20, Math.floor(GAP / 7.6));
  return name.length > most ? name.slice(0, most - 1) + "…" : name;
}

// The numbers that a neuron, a box or an edge has.
function numbersOf({ kind, l, i, j }) {
  if (kind === "total") return [{ q: "total" }, { q: "new_total" }];
  if (kind === "loss") return [{ q: "y", j }, { q: "loss", j }];
  if (kind === "neuron") return l === 0 ? [{ q: "x", l, j }] : ["z", "a", "grad_a", "delta"].map((q) => ({ q, l, j }));
  return (i === undefined ? ["b", "grad_b", "new_b"] : ["w", "grad_w", "new_w"]).map((q) => (
    i === undefined ? { q, l, j } : { q, l, i, j }));
}

function put(element, n, prefix = "") {
  element.textContent = n ? prefix + short(valueOf(n)) : "";
  for (const [name, value] of [["quantity", n?.q], ["value", n && String(valueOf(n))]]) {
    if (n) element.dataset[name] = value; else delete element.dataset[name];
  }
}

// Squeezes a neuron's number into its circle where the reader's font is broad.
function squeeze(element) {
  element.removeAttribute("textLength");
  if (!element.textContent || element.getComputedTextLength() <= CHORD) return;
  element.setAttribute("textLength", CHORD);
  element.setAttribute("lengthAdjust", "spacingAndGlyphs");
}

// What stands inside a neuron, and below it.
function showNode(node) {
  const known = numbersOf(node).filter((n) => isKnown(n));
  const pick = (...names) => known.find((n) => n.q === names.find((q) => known.some((m) => m.q === q)));
  const part = (name) => node.group.querySelector(`.${name}`);
  if (node.kind === "neuron") {
    const inside = pick("x", "a", "z");
    part("name").textContent = (inside?.q ?? "z") + lowered(place(node.l, node.j));
    put(part("value"), inside);
    squeeze(part("value"));
    const error = pick("delta", "grad_a");
    put(part("error"), error, error?.q === "delta" ? "δ " : "∂L/∂a ");
    return;
  }
  const named = node.kind === "loss" ? ["loss", "y"] : ["new_total", "total"];
  const value = pick(...named);
  const number = node.kind === "loss" ? lowered(place(L, node.j)) : "";
  const symbols = { loss: `ℓ${number}`, y: `y${number}`, total: "L", new_total: "L′" };
  part("name").textContent = value ? (value.q === "loss" ? `y${number} = ${short(valueOf({ q: "y", j: node.j }))}` : symbols[value.q]) : "L";
  put(part("value"), value, value?.q === "loss" ? `ℓ${number} = ` : "");
}

// An edge shows its weight, at its layer's gradient stage the gradient, after its update the new weight.
function edgeNumber(edge, stage = state.stage) {
  const [old, slope, fresh] = numbersOf(edge);
  const { kind, l } = STAGES[stage];
  return isKnown(fresh, stage) ? fresh : kind === "grad" && l === edge.l ? slope : old;
}

const heaviest = Math.max(...D.layers.flatMap((layer) => [...layer.W.flat(), ...(layer.b ?? [])].map(Math.abs))) || 1;

function showEdge(edge) {
  const [old, , fresh] = numbersOf(edge);
  const weight = valueOf(isKnown(fresh) ? fresh : old);
  const line = edge.group.querySelector(".line");
  const share = Math.min(Math.abs(weight) / heaviest, 1.5);
  line.style.strokeWidth = `${(1 + 3 * (Number.isFinite(share) ? share : 1)).toFixed(2)}px`;
  edge.group.classList.toggle("negative", weight < 0);
  const n = edgeNumber(edge);
  put(edge.label, n);
  edge.label.classList.toggle("slope", n.q.startsWith("grad"));
  edge.label.classList.toggle("fresh", n.q.startsWith("new"));
}

// The elements that a stage is about, and whether and where values flow along edges to get there.
function activity({ kind, l }) {
  const flows = { z: l, grad_a: l + 1, grad: l }[kind];
  return {
    node: (node) => (kind === "input" ? node.l === 0 || node.kind === "loss"
      : kind === "loss" || kind === "summary" ? node.l > L && (kind === "loss" || node.kind === "total")
        : node.kind === "neuron" && node.l === l && kind !== "grad" && kind !== "update"),
    edge: (edge) => (edge.l === flows || (kind === "update" && edge.l === l))
      && !(kind === "grad_a" && edge.i === undefined),
    wire: kind === "loss" || (kind === "grad_a" && l === L),
    flow: kind === "z" || kind === "loss" ? "forward" : kind === "grad_a" || kind === "grad" ? "backward" : "",
  };
}
