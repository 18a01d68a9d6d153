// The stages of the step in their order, what each one shows, and from which stage on a number is known.

const STAGES = [];
const KNOWN = {};

(function list() {
  const neurons = (l) => [...D.drawn[l].keys()];
  const add = (kind, phase, l, items) => {
    for (const n of items) KNOWN[`${n.q}.${n.l ?? ""}`] ??= STAGES.length;
    STAGES.push({ kind, phase, l, items });
  };
  const parameters = (l, weight, bias) => {
    const items = [];
    for (const j of neurons(l)) {
      for (const i of neurons(l - 1)) items.push({ q: weight, l, i, j });
      if (D.layers[l - 1].b) items.push({ q: bias, l, j });
    }
    return items;
  };
  const layer = (q, l) => neurons(l).map((j) => ({ q, l, j }));

  add("input", "forward", 0, [...neurons(0).map((j) => ({ q: "x", l: 0, j })), ...neurons(L).map((j) => ({ q: "y", j }))]);
  for (let l = 1; l <= L; l++) {
    add("z", "forward", l, layer("z", l));
    add("a", "forward", l, layer("a", l));
  }
  add("loss", "forward", L + 1, [...neurons(L).map((j) => ({ q: "loss", j })), { q: "total" }]);
  for (let l = L; l >= 1; l--) {
    add("grad_a", "backward", l, layer("grad_a", l));
    add("delta", "backward", l, layer("delta", l));
    add("grad", "backward", l, parameters(l, "grad_w", "grad_b"));
  }
  for (let l = 1; l <= L; l++) add("update", "update", l, parameters(l, "new_w", "new_b"));
  add("summary", "summary", L + 1, [{ q: "total" }, { q: "new_total" }]);
})();

const GIVEN = ["x", "y", "w", "b"];
const isKnown = (n, stage = state.stage) => GIVEN.includes(n.q) || KNOWN[`${n.q}.${n.l ?? ""}`] <= stage;
const keyOf = ({ q, l, i, j }) => [q, l, i, j].filter((part) => part !== undefined).join(".");

// ------------------------------------------------------------------ words

const text = (name) => D.texts[state.language][name];

// A text with its {places} filled; what is put in is not looked into.
const say = (name, values = {}) => text(name).replace(/\{(\w+)\}/g, (_, place) => values[place]);

function layerName(l) {
  if (l === 0) return text("inputs");
  if (l > L) return text("loss");
  if (l === L) return text("output_layer");
  return L === 2 ? text("hidden_layer") : say("hidden_layer_n", { n: l });
}

const activationName = (l) => D.layers[l - 1].activation.own ?? D.layers[l - 1].activation.name;
const lossName = () => D.lossFunction.own ?? D.lossFunction.name;

function stageTitle({ kind, l }) {
  return say(`title_${kind}`, { layer: layerName(l) });
}

function stageWords({ kind, l }) {
  const end = l === L ? "_output" : "";
  const name = {
    grad_a: `words_grad_a${end}`,
    delta: `words_delta${end && D.fused ? "_fused" : D.layers[l - 1]?.activation.elementwise === false ? "_joint" : ""}`,
    loss: N > 1 ? "words_loss_many" : "words_loss",
    input: edges.some((edge) => edge.crowded) ? "words_input_crowded" : "words_input",
    grad: N > 1 ? "words_grad_many" : "words_grad",
  }[kind] ?? `words_${kind}`;
  return say(name, { activation: l >= 1 && l <= L ? quoted(activationName(l)) : "",
    loss: quoted(lossName()), n: N,
    rate: written_number(D.rate), before: written_number(D.loss), after: written_number(D.newLoss) });
}
