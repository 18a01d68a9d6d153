// What functions look like when written out. In a template $z, $a, $y stand for the symbols or for the numbers of the
// line; ^{...} and _{...} are raised and lowered. `numbers` chooses the branch that a number takes, where there are several.

const GELU = "√(2/π)";

const ACTIVATIONS = {
  identity: { value: "$z", slope: "1" },
  sigmoid: { value: "1 / (1 + e^{−$z})", slope: "$a · (1 − $a)" },
  tanh: { value: "tanh($z)", slope: "1 − $a^{2}" },
  relu: {
    value: "max($z, 0)",
    slope: "1 (z > 0), 0 (z ≤ 0)",
    slopeNumbers: (v) => (v.a > 0 ? "1" : "0"),
  },
  leaky_relu: {
    arguments: [0.01],
    value: "$z (z > 0), $0 · $z (z ≤ 0)",
    valueNumbers: (v) => (v.z > 0 ? "$z" : "$0 · $z"),
    slope: "1 (z > 0), $0 (z ≤ 0)",
    slopeNumbers: (v) => (v.a > 0 ? "1" : "$0"),
  },
  elu: {
    arguments: [1],
    value: "$z (z > 0), $0 · (e^{$z} − 1) (z ≤ 0)",
    valueNumbers: (v) => (v.z > 0 ? "$z" : "$0 · (e^{$z} − 1)"),
    slope: "1 (z > 0), $a + $0 (z ≤ 0)",
    slopeNumbers: (v) => (v.a > 0 ? "1" : "$a + $0"),
  },
  selu: {
    arguments: [1.0507009873554805, 1.6732632423543772],
    value: "$0 · $z (z > 0), $0 · $1 · (e^{$z} − 1) (z ≤ 0)",
    valueNumbers: (v) => (v.z > 0 ? "$0 · $z" : "$0 · $1 · (e^{$z} − 1)"),
    slope: "$0 (z > 0), $0 · $1 · e^{$z} (z ≤ 0)",
    slopeNumbers: (v) => (v.z > 0 ? "$0" : "$0 · $1 · e^{$z}"),
  },
  softplus: { value: "ln(1 + e^{$z})", slope: "1 − e^{−$a}" },
  silu: {
    value: "$z / (1 + e^{−$z})",
    slope: "s + $a · (1 − s), s = 1 / (1 + e^{−$z})",
    slopeNumbers: (v) => (v.s = 1 / (1 + Math.exp(-v.z)), "$s + $a · (1 − $s)"),
  },
  mish: {
    value: "$z · tanh(ln(1 + e^{$z}))",
    slope: "t + $z · (1 − t^{2}) / (1 + e^{−$z}), t = tanh(ln(1 + e^{$z}))",
    slopeNumbers: (v) => (v.t = Math.tanh(Math.log1p(Math.exp(v.z))), "$t + $z · (1 − $t^{2}) / (1 + e^{−$z})"),
  },
  gelu: {
    value: `½ · $z · (1 + tanh(${GELU} · ($z + 0.044715 · $z^{3})))`,
    slope: `½ · (1 + t) + ½ · $z · (1 − t^{2}) · ${GELU} · (1 + 0.134145 · $z^{2}), `
      + `t = tanh(${GELU} · ($z + 0.044715 · $z^{3}))`,
    slopeNumbers: (v) => (v.t = Math.tanh(Math.sqrt(2 / Math.PI) * (v.z + 0.044715 * v.z ** 3)),
      `½ · (1 + $t) + ½ · $z · (1 − $t^{2}) · ${GELU} · (1 + 0.134145 · $z^{2})`),
  },
  exp: { value: "e^{$z}", slope: "e^{$z}" },
  softmax: { blocks: () => null },
  block_softmax: { blocks: (widths) => widths },
};

// Of one output of one sample; the slope is the derivative with respect to a.
const LOSSES = {
  squared_error: { value: "½ · ($a − $y)^{2}", slope: "$a − $y" },
  absolute_error: { value: "|$a − $y|", slope: "sign($a − $y)" },
  huber: {
    arguments: [1],
    value: "½ · r^{2} (|r| ≤ $0), $0 · (|r| − $0/2) (|r| > $0), r = $a − $y",
    valueNumbers: (v, p) => (Math.abs(v.a - v.y) <= p[0] ? "½ · ($a − $y)^{2}" : "$0 · (|$a − $y| − $0/2)"),
    slope: "r (|r| ≤ $0), $0 · sign(r) (|r| > $0), r = $a − $y",
    slopeNumbers: (v, p) => (Math.abs(v.a - v.y) <= p[0] ? "$a − $y" : "$0 · sign($a − $y)"),
  },
  quantile: {
    arguments: [0.5],
    value: "$0 · ($y − $a) (y ≥ a), (1 − $0) · ($a − $y) (y < a)",
    valueNumbers: (v) => (v.y >= v.a ? "$0 · ($y − $a)" : "(1 − $0) · ($a − $y)"),
    slope: "−$0 (y > a), 1 − $0 (y < a), 0 (y = a)",
    slopeNumbers: (v) => (v.y > v.a ? "−$0" : v.y < v.a ? "1 − $0" : "0"),
  },
  binary_cross_entropy: {
    value: "−($y · ln($a) + (1 − $y) · ln(1 − $a))",
    valueNumbers: (v) => (v.y === 1 ? "−ln($a)" : v.y === 0 ? "−ln(1 − $a)" : null),
    slope: "($a − $y) / ($a · (1 − $a))",
  },
  cross_entropy: {
    value: "−$y · ln($a)",
    valueNumbers: (v) => (v.y === 0 ? "0" : null),
    slope: "−$y / $a",
    slopeNumbers: (v) => (v.y === 0 ? "0" : null),
  },
  poisson: {
    value: "$a − $y + $y · ln($y / $a)",
    valueNumbers: (v) => (v.y === 0 ? "$a" : null),
    slope: "1 − $y / $a",
  },
};

// A name that somebody gave to a function of their own, so that nothing in it is taken for markup.
const quoted = (name) => name.replace(/[\\^_{}$]/g, "\\$&");

// A template with its places filled; a value is never looked into for more places.
const filled = (template, values) => template.replace(/(?<!\\)\$(\w)/g, (_, name) => values[name]);

// The entry of a function in one of the two tables; for a user's own, its name with the given arguments.
function written(table, described, inputs) {
  if ("own" in described) {
    const name = quoted(described.own);
    return { own: name, value: `${name}(${inputs})`, slope: `${name}′(${inputs})` };
  }
  return table[described.name] ?? written(table, { own: described.name }, inputs);
}

// In brackets where a sum would otherwise be torn apart by a product.
function bracketed(text) {
  let depth = 0;
  for (let k = 0; k < text.length; k++) {
    depth += { "(": 1, "{": 1, ")": -1, "}": -1 }[text[k]] ?? 0;
    if (depth === 0 && (/^ [+−] /.test(text.slice(k)) || (text[k] === "−" && k === 0))) return `(${text})`;
  }
  return text;
}

// Symbols and numbers of one side ("value" or "slope") of a function. `show` writes a number for a formula.
function bothLines(entry, side, described, symbols, values, show) {
  const given = described.arguments && described.arguments.length ? described.arguments : entry.arguments || [];
  const v = { ...values };
  const branch = entry[side + "Numbers"] && entry[side + "Numbers"](v, given);
  const shown = Object.fromEntries(Object.entries(v).map(([name, number]) => [name, show(number)]));
  const places = Object.fromEntries(given.map((number, k) => [k, show(number)]));
  return [
    filled(entry[side], { ...symbols, ...places }),
    filled(branch || entry[side], { ...shown, ...places }),
  ];
}
