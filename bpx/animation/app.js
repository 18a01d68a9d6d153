// What the reader does, and what the page then shows.

const element = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// ------------------------------------------------------------------ formulas as elements

// Markup with ^{...} and _{...} into raised and lowered text; a backslash keeps the next character as it is.
function typeset(parent, markup) {
  const open = [parent];
  for (let k = 0; k < markup.length; k++) {
    const [two, top] = [markup.slice(k, k + 2), open[open.length - 1]];
    if (two === "^{" || two === "_{") {
      open.push(top.appendChild(document.createElement(two === "^{" ? "sup" : "sub")));
      k++;
    } else if (markup[k] === "}" && open.length > 1) {
      open.pop();
    } else {
      if (markup[k] === "\\") k++;
      top.append(markup[k] ?? "");
    }
  }
  parent.normalize();
  return parent;
}

const add = (parent, tag, className = "") => {
  const child = parent.appendChild(document.createElement(tag));
  if (className) child.className = className;
  return child;
};

// Brackets around a number that stands in brackets, or raised, by itself say nothing.
const bare = (formula) => formula.replace(/\(\(([^()]*)\)\)/g, "($1)").replace(/\^\{\(([^()]*)\)\}/g, "^{$1}")
  .replace(/max\(\(([^()]*)\),/g, "max($1,");

// Three lines: with symbols, with numbers put in, and the result; fewer where they would say the same.
function addFormula(parent, n) {
  const formula = add(parent, "div", "formula");
  const [symbols, numbers, meaning] = lines(n) ?? [];
  const value = written_number(valueOf(n));
  const first = typeset(add(formula, "div", "row symbols"), symbol(n) + (symbols ? ` = ${symbols}` : ""));
  if (meaning) typeset(add(formula, "div", "row meaning"), meaning);
  if (numbers && numbers !== factor(valueOf(n))) typeset(add(formula, "div", "row numbers"), `= ${bare(numbers)}`);
  const result = symbols ? add(formula, "div", "row result") : first;
  result.append(symbols ? "= " : " = ");
  const bold = typeset(add(result, "b"), value);
  bold.dataset.value = String(valueOf(n));
  bold.title = String(valueOf(n));
  return formula;
}

// ------------------------------------------------------------------ the panel

function showCards(stage) {
  const cards = element("cards");
  cards.replaceChildren();
  cards.scrollTop = 0;
  for (const n of stage.items) {
    const card = add(cards, "div", "card");
    card.dataset.key = keyOf(n);
    const owner = ownerOf(n);
    card.addEventListener("pointerenter", () => mark(owner, true));
    card.addEventListener("pointerleave", () => mark(owner, false));
    addFormula(card, n);
  }
  if (stage.kind === "summary") addTable(cards);
}

function addTable(parent) {
  const box = add(parent, "div");
  box.id = "table";
  const table = add(box, "table");
  const head = add(add(table, "thead"), "tr");
  for (const name of ["parameter", "before", "gradient", "after"]) add(head, "th").textContent = text(name);
  const body = add(table, "tbody");
  for (const stage of STAGES.filter(({ kind }) => kind === "update")) {
    for (const n of stage.items) {
      const row = add(body, "tr");
      const numbers = numbersOf({ ...n, kind: "edge" });
      typeset(add(row, "td"), symbol(numbers[0]));
      for (const number of numbers) {
        const cell = typeset(add(row, "td"), written_number(valueOf(number)));
        Object.assign(cell.dataset, { key: keyOf(number), value: String(valueOf(number)) });
      }
    }
  }
}

// ------------------------------------------------------------------ what belongs to what

const owners = () => [...nodes, ...edges];
const ownerOf = (n) => owners().find((owner) => numbersOf(owner).some((m) => keyOf(m) === keyOf(n)));

function mark(owner, on) {
  owner?.group.classList.toggle("picked", on);
  owner?.label?.classList.toggle("picked", on);
  const keys = owner ? numbersOf(owner).map(keyOf) : [];
  for (const card of document.querySelectorAll(".card")) {
    if (keys.includes(card.dataset.key)) card.classList.toggle("picked", on);
  }
}

// ------------------------------------------------------------------ the formula beside a number

let tipped = null;

function showTip(owner) {
  if (tipped && tipped !== owner) mark(tipped, false);
  tipped = owner;
  mark(owner, true);
  const tip = element("tip");
  tip.replaceChildren();
  const numbers = numbersOf(owner).filter((n) => isKnown(n));
  for (const n of numbers.reverse()) addFormula(tip, n); // the latest is what one asks about
  tip.hidden = numbers.length === 0;
  const at = (owner.label?.getBoundingClientRect().width ? owner.label : owner.group).getBoundingClientRect();
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = Math.max(8, Math.min(at.left + at.width / 2 - width / 2, innerWidth - width - 8));
  const floor = document.querySelector("footer").getBoundingClientRect().top;
  const top = at.bottom + 10 + height < floor ? at.bottom + 10 : Math.max(8, at.top - height - 10);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function hideTip() {
  if (tipped) mark(tipped, false);
  tipped = null;
  element("tip").hidden = true;
}

function listen(owner) {
  const { group } = owner;
  group.setAttribute("role", "img");
  group.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && showTip(owner));
  group.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
  group.addEventListener("click", (event) => { event.stopPropagation(); showTip(owner); });
  group.addEventListener("focus", () => showTip(owner));
  group.addEventListener("blur", hideTip);
}

// ------------------------------------------------------------------ the drawing

let rolling = 0;

// Weights change before one's eyes: their labels count from the old number to the new one.
function roll(changing) {
  cancelAnimationFrame(rolling);
  if (calm.matches || changing.length === 0) return;
  const [start, length] = [performance.now(), 900 / state.speed];
  const frame = (now) => {
    const share = Math.min((now - start) / length, 1);
    for (const edge of changing) {
      const [old, , fresh] = numbersOf(edge).map((n) => valueOf(n));
      edge.label.textContent = short(share < 1 ? old + share * (fresh - old) : fresh);
    }
    if (share < 1) rolling = requestAnimationFrame(frame);
  };
  rolling = requestAnimationFrame(frame);
}

function showDrawing(stage, arrived) {
  const active = activity(stage);
  svg.dataset.flow = active.flow;
  for (const owner of owners()) {
    const on = owner.kind === "edge" ? active.edge(owner) : active.node(owner);
    owner.group.classList.remove("active");
    (owner.kind === "edge" ? showEdge : showNode)(owner);
    owner.group.setAttribute("tabindex", on ? "0" : "-1");
    owner.on = on;
    const known = numbersOf(owner).filter((n) => isKnown(n)).map((n) => `${plainSymbol(n)} = ${written_number(valueOf(n)).replace(/[{}]/g, "")}`);
    owner.group.setAttribute("aria-label", known.join("; ") || plainSymbol(numbersOf(owner)[0]));
  }
  for (const wire of svg.querySelectorAll(".wire")) wire.classList.toggle("active", active.wire);
  if (arrived) svg.getBoundingClientRect(); // so that animations start anew
  for (const owner of owners()) owner.group.classList.toggle("active", owner.on);
  roll(arrived && stage.kind === "update" ? edges.filter((edge) => edge.l === stage.l) : []);
}

const plainSymbol = (n) => symbol(n).replace(/[_^]\{([^}]*)\}/g, " $1").replaceAll("\\", "");

// The whole drawing fits into the window, as long as its numbers can be read; `state.zoom` is the reader's own factor.
const SMALLEST = 0.62, LARGEST = 1.5;

function fit() {
  const box = element("scroll");
  // With scroll bars, so that their coming and going changes nothing here.
  const beside = matchMedia("(min-width: 760px)").matches;
  const visible = beside ? box.offsetHeight : 0.52 * innerHeight;
  const height = beside ? visible : Math.max(visible, 0.72 * SIZE.height); // in a small window it is scrolled
  let width = box.offsetWidth;
  const gap = gapFor(width, height);
  if (gap !== GAP || nodes.length === 0) {
    GAP = gap;
    drawAnew();
  }
  const fitting = () => Math.max(SMALLEST, Math.min(width / SIZE.width, height / SIZE.height, LARGEST));
  if (fitting() * SIZE.height > visible) width -= 16;
  const scale = state.zoom * fitting();
  svg.setAttribute("width", Math.floor(SIZE.width * scale));
  svg.setAttribute("height", Math.floor(SIZE.height * scale));
  // A scroll bar takes room, for which the other one comes: none where none is needed.
  box.classList.toggle("whole", SIZE.height * scale <= visible && SIZE.width * scale <= box.offsetWidth);
}

function drawAnew() {
  hideTip();
  buildNetwork();
  for (const owner of owners()) listen(owner);
  show();
}

// What is in the middle of the box stays there.
function zoom(factor) {
  const box = element("scroll");
  const middle = [(box.scrollLeft + box.clientWidth / 2) / box.scrollWidth, (box.scrollTop + box.clientHeight / 2) / box.scrollHeight];
  state.zoom = factor === 0 ? 1 : Math.max(0.5, Math.min(state.zoom * factor, 4));
  fit();
  box.scrollTo(middle[0] * box.scrollWidth - box.clientWidth / 2, middle[1] * box.scrollHeight - box.clientHeight / 2);
  hideTip();
}

function bringIntoView(stage) {
  const box = element("scroll");
  const scale = svg.clientWidth / SIZE.width;
  const from = ["input", "loss", "summary"].includes(stage.kind) ? columnX(stage.l) : columnX(stage.l) - (stage.kind === "grad_a" ? -GAP / 2 : GAP / 2);
  box.scrollTo({ left: from * scale - box.clientWidth / 2, behavior: calm.matches ? "auto" : "smooth" });
}

// ------------------------------------------------------------------ all of it

function showWords() {
  document.documentElement.lang = D.tags[state.language];
  document.title = text("title");
  for (const item of document.querySelectorAll("[data-text]")) item.textContent = text(item.dataset.text);
  for (const item of document.querySelectorAll("[data-label]")) {
    const words = text(item.id === "play" && state.playing ? "pause" : item.dataset.label);
    item.setAttribute("aria-label", words);
    if (item.tagName === "BUTTON") item.title = words;
  }
  for (const button of element("languages").children) {
    button.setAttribute("aria-pressed", String(button.lang === D.tags[state.language]));
  }
  svg.setAttribute("aria-label", say("network", { sizes: D.sizes.join("–") }));
  for (const column of svg.querySelectorAll(".column")) {
    const l = Number(column.dataset.l);
    column.querySelector(".layer").textContent = layerName(l);
    column.querySelector(".function").textContent = l === 0 ? "" : clipped(l > L ? lossName() : activationName(l));
  }
  for (const note of svg.querySelectorAll(".more")) note.textContent = say("more", { n: note.dataset.more });
  for (const caption of svg.querySelectorAll(".caption")) caption.textContent = text("bias_unit");
  const partly = [...D.sizes.keys()].filter((l) => hidden(l) > 0)
    .map((l) => say("part", { layer: layerName(l), drawn: D.drawn[l].length, all: D.sizes[l] }));
  element("partly").textContent = partly.length
    ? say("partly", { limit: D.limit, layers: partly.join(state.language === "zh" ? "；" : "; ") }) : "";
}

function show(arrived = false) {
  const stage = STAGES[state.stage];
  hideTip();
  document.body.dataset.phase = stage.phase;
  document.body.dataset.stage = String(state.stage);
  showWords();
  element("phase-name").textContent = text(`phase_${stage.phase}`);
  element("progress").textContent = say("of", { n: state.stage + 1, all: STAGES.length });
  element("stage-title").textContent = stageTitle(stage);
  element("words").replaceChildren();
  typeset(element("words"), stageWords(stage));
  element("slider").value = String(state.stage);
  element("slider").setAttribute("aria-valuetext", stageTitle(stage));
  for (const id of ["first", "previous"]) element(id).disabled = state.stage === 0;
  for (const id of ["next", "last"]) element(id).disabled = state.stage === STAGES.length - 1;
  showCards(stage);
  showDrawing(stage, arrived);
  if (arrived) bringIntoView(stage);
}

function goTo(stage) {
  const last = STAGES.length - 1;
  state.stage = Math.max(0, Math.min(stage, last));
  show(true);
}

let timer = 0;

function play(on) {
  clearTimeout(timer);
  state.playing = on;
  element("play").toggleAttribute("data-playing", on);
  if (on && state.stage === STAGES.length - 1) goTo(0); else showWords();
  if (on) schedule();
}

function schedule() {
  timer = setTimeout(() => {
    goTo(state.stage + 1);
    if (state.stage === STAGES.length - 1) play(false); else schedule();
  }, 3000 / state.speed);
}

function byHand(stage) {
  play(false);
  goTo(stage);
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, input")) return;
  const zooms = { "+": 1.25, "=": 1.25, "-": 0.8, 0: 0 };
  const moves = { ArrowLeft: state.stage - 1, ArrowRight: state.stage + 1, Home: 0, End: STAGES.length - 1 };
  if (event.key in moves) byHand(moves[event.key]);
  else if (event.key in zooms) zoom(zooms[event.key]);
  else if (event.key === " " && !event.target.closest("button")) play(!state.playing);
  else if (event.key === "Escape") hideTip();
  else return;
  if (event.key !== "Escape") event.preventDefault();
}

function connect() {
  element("first").onclick = () => byHand(0);
  element("previous").onclick = () => byHand(state.stage - 1);
  element("next").onclick = () => byHand(state.stage + 1);
  element("last").onclick = () => byHand(STAGES.length - 1);
  element("closer").onclick = () => zoom(1.25);
  element("farther").onclick = () => zoom(0.8);
  element("whole").onclick = () => zoom(0);
  element("play").onclick = () => play(!state.playing);
  element("slider").max = String(STAGES.length - 1);
  element("slider").oninput = (event) => byHand(Number(event.target.value));
  element("speed").onchange = (event) => {
    state.speed = Number(event.target.value);
    if (state.playing) play(true);
  };
  element("digits").onchange = (event) => { state.digits = Number(event.target.value); show(); };
  element("samples").hidden = N === 1;
  for (let s = 0; s < N; s++) add(element("sample"), "option").textContent = String(s + 1);
  element("sample").onchange = (event) => { state.sample = event.target.selectedIndex; show(); };
  for (const [language, tag] of Object.entries(D.tags)) {
    const button = add(element("languages"), "button");
    Object.assign(button, { type: "button", lang: tag, textContent: D.texts[language].name });
    button.onclick = () => { state.language = language; show(); };
  }
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => event.target.closest("#tip") || hideTip());
  element("scroll").addEventListener("scroll", () => tipped && !tipped.group.matches(":hover") && hideTip());
  new ResizeObserver(fit).observe(element("scroll"));
}

connect();
fit();
