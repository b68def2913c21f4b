/* What the page shows, and what the user does. numbers.js, which stands before this file in the page, has the numbers. */

// -- numbers and names ------------------------------------------------------------------------------------------------

/* A number with n significant digits and a real minus sign; a short form, with at most three decimals unless it is small. */
const digits = (value, n = 6) => {
  const rounded = Number(value.toPrecision(n));
  return (Math.abs(rounded) < 1e7 ? String(rounded) : rounded.toExponential()).replaceAll("-", "−");
};
const short = value => (Math.abs(value) < 0.0095 ? digits(value, 1) : Math.abs(value) >= 1000 ? digits(value, 3)
  : value.toFixed(Math.abs(value) < 0.095 ? 3 : 2).replace("-", "−"));
const sum = terms => terms.reduce((total, term) => total + term.product, 0);
const largestFirst = terms => [...terms].sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
const percent = p => `${digits(100 * p, p > 0.99 ? 6 : 3)} %`;
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const COLOURS = ["red", "green", "blue"];
const mapName = (stage, c) => (isImage(stage) ? (stage.C === 3 ? COLOURS[c] : "the picture") : `map ${c}`);
const isAnswer = s => s === page.logits || s === stages.length - 1;

function cellName(s, cell) {
  const stage = stages[s], { h, w, c } = placeOf(stage, cell);
  if (isAnswer(s)) return `class ${page.names[cell]}`;
  if (stage.vector) return `unit ${cell}`;
  return `${isImage(stage) && stage.C === 1 ? "" : `${mapName(stage, c)}, `}row ${h}, column ${w}`;
}

const stageName = s => (isImage(stages[s]) ? "the picture" : stages[s].name);
const shapeText = stage => (stage.vector ? plural(stage.C, "number")
  : isImage(stage) ? `${stage.H}×${stage.W} pixels${stage.C === 3 ? ", red, green and blue" : ""}`
    : `${plural(stage.C, "map")} of ${stage.H}×${stage.W}`);

function about(stage) {
  const relu = stage.relu ? ", then ReLU: what is below 0 becomes 0" : "", input = stages[stage.inputs[0]];
  const from = input && (isImage(input) ? "the picture" : input.vector ? "all numbers above" : input.C === 1 ? "the map above"
    : `all ${input.C} maps above`);
  const step = stage.SH > 1 || stage.SW > 1
    ? `; the window moves ${stage.SH === stage.SW ? stage.SH : `${stage.SH} down and ${stage.SW} right`} cells at a time` : "";
  switch (stage.kind) {
    case "input": return "What the network sees.";
    case "conv": return `Each number: a ${stage.KH}×${stage.KW} window of ${from}, times a kernel, plus a bias${relu}${step}.`;
    case "dense": {
      const all = input.vector ? "all numbers above" : `all ${plural(input.out.length, "number")} of the maps above`;
      return `Each number: ${all}, each times a weight, plus a bias${relu}.`;
    }
    case "pool": {
      const chosen = { max: "largest", min: "smallest", average: "mean" }[stage.mode];
      return `Each number: the ${chosen} of a ${stage.KH}×${stage.KW} window of the same map above${relu}${step}.`;
    }
    case "norm":
      return `Each number: (number above − mean) / √(variance + ε) · γ + β, with the moving averages from training${relu}.`;
    case "rescale": return `Each number: the number above · scale + offset${relu}.`;
    case "pad": return "The maps above with zeros around them.";
    case "reshape": return `The same numbers in another shape${relu}.`;
    case "add": return `Each number: the sum of the numbers at its place in ${stage.inputs.map(stageName).join(" and ")}${relu}.`;
    case "concatenate": return `The maps of ${stage.inputs.map(stageName).join(" and ")}, one after the other${relu}.`;
    default: return `Each number: the function ${stage.function} of the number above.`;
  }
}

// -- colours ------------------------------------------------------------------------------------------------------------

let palette = {};

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const rgb = name => [1, 3, 5].map(k => parseInt(style.getPropertyValue(name).trim().slice(k, k + 2), 16));
  palette = { zero: rgb("--background"), positive: rgb("--positive"), negative: rgb("--negative") };
}

/* The colour of a number of a picture whose largest |number| is `limit`: from white (or black, in dark mode) to orange above 0, to
   blue below. */
function colour(value, limit) {
  const t = limit > 0 ? Math.min(1, Math.abs(value) / limit) ** 0.75 : 0, end = value > 0 ? palette.positive : palette.negative;
  return palette.zero.map((from, k) => Math.round(from + t * (end[k] - from)));
}

const css = rgb => `rgb(${rgb.join(",")})`;

/* Black or white, whichever has the larger contrast on a colour. */
function ink(rgb) {
  const [r, g, b] = rgb.map(part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

const limitOf = numbers => numbers.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
const shown = s => (state.mode === "forward" || s > page.logits ? stages[s].out : gradients(state.class).out[s]);

// -- the pictures ---------------------------------------------------------------------------------------------------------

/* The cells of a picture: maps as they are, a row of numbers in lines of 16 or 32. */
function layout(stage, channel) {
  if (!stage.vector) return { rows: stage.H, columns: stage.W, cell: (r, c) => at(stage, r, c, channel) };
  const columns = Math.min(stage.C, stage.C > 256 ? 32 : 16), rows = Math.ceil(stage.C / columns);
  return { rows, columns, cell: (r, c) => (r * columns + c < stage.C ? r * columns + c : -1) };
}

function pictureOf(rows, columns, rgb) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  const image = new ImageData(columns, rows);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) image.data.set([...rgb(r, c), 255], 4 * (r * columns + c));
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

const bytes = v => Math.round(255 * Math.min(1, Math.max(0, v)));

function imagePicture() {
  const stage = stages[0];
  return pictureOf(stage.H, stage.W, (h, w) => [0, 1, 2].map(c => bytes(stage.out[at(stage, h, w, stage.C === 3 ? c : 0)])));
}

function mapPicture(s, channel, numbers, limit) {
  const { rows, columns, cell } = layout(stages[s], channel);
  return pictureOf(rows, columns, (r, c) => (cell(r, c) < 0 ? palette.zero : colour(numbers[cell(r, c)], limit)));
}

/* Draw a small picture on a canvas, enlarged without smoothing; return its context and the size of a cell. */
function enlarge(canvas, small) {
  const size = Math.max(1, Math.floor(640 / small.width));
  [canvas.width, canvas.height] = [small.width * size, small.height * size];
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return { context, size };
}

/* A frame around cells that is seen on any colour. */
function frame(context, x, y, width, height, strong) {
  for (const [line, style] of [[strong ? 9 : 7, "#000000"], [strong ? 6 : 4, "#ffffff"],
    [strong ? 4 : 2, strong ? "#d40078" : "#0b57d0"]]) {
    context.lineWidth = line;
    context.strokeStyle = style;
    context.strokeRect(x, y, width, height);
  }
}

/* Each stage that the selected cell was computed from, or that sent gradient to it, with the part to frame: {top, left, bottom,
   right}, or null. */
function involved() {
  const stage = stages[state.stage], { h, w } = placeOf(stage, state.cell), parts = new Map();
  const window = (s, from, to) => parts.set(s, { ...from, ...to });
  if (state.mode === "forward") {
    stage.inputs.forEach(s => {
      const input = stages[s];
      if (stage.kind === "conv" || stage.kind === "pool") {
        const cells = windowAt(stage, input, h, w).filter(cell => cell.inside), last = cells[cells.length - 1];
        if (last) window(s, { top: cells[0].h, left: cells[0].w }, { bottom: last.h, right: last.w });
      } else if (input.vector || stage.vector) parts.set(s, null);
      else window(s, { top: h, left: w }, { bottom: h, right: w });
    });
  } else {
    stage.readers.filter(reader => reader.stage <= page.logits).forEach(({ stage: r }) => {
      const reader = stages[r];
      if ((reader.kind === "conv" || reader.kind === "pool") && !reader.vector) {
        const cells = windowsOver(reader, h, w).cells.filter(cell => cell.inside), last = cells[cells.length - 1];
        if (last) window(r, { top: cells[0].oh, left: cells[0].ow }, { bottom: last.oh, right: last.ow });
      } else parts.set(r, null);
    });
  }
  return parts;
}

/* Whether a picture was last drawn for the same values: then it need not be drawn again. */
function isDrawn(element, values) {
  const text = JSON.stringify(values), same = element.dataset.drawn === text;
  element.dataset.drawn = text;
  return same;
}

/* What the colours of a stage's pictures are. */
function shownText(stage, numbers) {
  const least = numbers.reduce((a, b) => Math.min(a, b)), most = numbers.reduce((a, b) => Math.max(a, b));
  const what = state.mode === "forward" ? "numbers" : `gradients of the logit of “${page.names[state.class]}”`;
  return `${stage.vector ? "" : "all maps: "}${what}, from ${digits(least, 3)} to ${digits(most, 3)}`;
}

function drawStage(s, parts) {
  const stage = stages[s], part = parts.get(s), section = byId(`stage-${s}`);
  section.classList.toggle("selected", s === state.stage);
  section.classList.toggle("involved", parts.has(s));
  if (isAnswer(s)) return;
  const channel = state.channel[s];
  if (isDrawn(section, [state.mode, state.class, palette, channel, part, s === state.stage ? state.cell : -1])) return;
  const numbers = shown(s);
  const grid = layout(stage, channel);
  const small = isImage(stage) ? imagePicture() : mapPicture(s, channel, numbers, limitOf(numbers));
  const canvas = section.querySelector(".cells"), { context, size } = enlarge(canvas, small);
  if (part) frame(context, part.left * size, part.top * size, (part.right - part.left + 1) * size,
    (part.bottom - part.top + 1) * size, false);
  if (s === state.stage) {
    const { h, w, c } = placeOf(stage, state.cell);
    const [row, column] = stage.vector ? [Math.floor(c / grid.columns), c % grid.columns] : [h, w];
    frame(context, column * size, row * size, size, size, true);
  }
  const map = stage.vector || (isImage(stage) && stage.C === 1) ? "" : `, ${mapName(stage, channel)}`;
  canvas.setAttribute("aria-label", `${stageName(s)}, ${shapeText(stage)}${map}. The arrows move the selected cell.`);
  if (!isImage(stage)) section.querySelector(".shown").textContent = shownText(stage, numbers);
  const select = section.querySelector("select");
  if (select) select.value = channel;
  section.querySelectorAll(".strip canvas").forEach((thumb, c) => thumb.classList.toggle("chosen", c === channel));
}

/* The small pictures of all maps of a stage. */
function drawStrip(s) {
  const stage = stages[s], numbers = shown(s), limit = limitOf(numbers);
  byId(`stage-${s}`).querySelectorAll(".strip canvas").forEach((thumb, channel) => {
    const small = isImage(stage)
      ? pictureOf(stage.H, stage.W, (h, w) => [0, 1, 2].map(c => (c === channel ? bytes(stage.out[at(stage, h, w, c)]) : 0)))
      : mapPicture(s, channel, numbers, limit);
    [thumb.width, thumb.height] = [small.width, small.height];
    thumb.getContext("2d").drawImage(small, 0, 0);
  });
}

/* The largest |gradient| of each pixel's colours, over the picture. */
function drawSaliency() {
  const stage = stages[0];
  if (isDrawn(byId("saliency"), [state.class, palette, state.stage === 0 ? state.cell : -1])) return;
  const gradient = gradients(state.class).out[0];
  const most = (h, w) => Math.max(...Array.from({ length: stage.C }, (_, c) => Math.abs(gradient[at(stage, h, w, c)])));
  const limit = limitOf(gradient);
  const canvas = byId("saliency"), { context, size } = enlarge(canvas,
    pictureOf(stage.H, stage.W, (h, w) => colour(most(h, w), limit)));
  if (state.stage === 0) {
    const { h, w } = placeOf(stage, state.cell);
    frame(context, w * size, h * size, size, size, true);
  }
  const ofColours = stage.C === 3 ? " (the largest of its three colours)" : "";
  byId("saliency-caption").textContent = `|gradient| of the logit of “${page.names[state.class]}”: `
    + `how much this score changes with each pixel${ofColours}; at most ${digits(limit, 3)}`;
}

// -- the layers as HTML -----------------------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(9).filter(child => child !== null && child !== undefined && child !== ""));
  return made;
}

const para = (...content) => element("p", {}, ...content);
const formula = (...content) => element("p", { class: "equation" }, ...content);
const br = () => element("br");

function buildStage(s) {
  const stage = stages[s];
  const canvas = element("canvas", {
    class: stage.vector ? "cells vector" : "cells", tabindex: 0, role: "application", "aria-roledescription": "grid of cells",
    onclick: event => selectAt(s, state.channel[s], event), onkeydown: event => moveBy(s, event),
  });
  const section = element("section", { class: "stage", id: `stage-${s}`, "aria-label": stageName(s) },
    element("h2", {}, isImage(stage) ? "The picture " : `${stage.name} `, element("span", { class: "muted" }, shapeText(stage))),
    element("p", { class: "muted" }, about(stage)));
  const views = element("div", { class: "views" }, element("figure", {}, canvas,
    isImage(stage) ? "" : element("figcaption", { class: "shown" })));
  if (isImage(stage)) {
    views.append(element("figure", {},
      element("canvas", { class: "cells", id: "saliency", role: "img", "aria-labelledby": "saliency-caption",
        onclick: event => { setMode("backward"); selectAt(0, state.channel[0], event); } }),
      element("figcaption", { id: "saliency-caption" })));
  }
  if (!stage.vector && stage.C > 1) views.append(buildMaps(s));
  section.append(views);
  return section;
}

function buildMaps(s) {
  const stage = stages[s], numbers = Array.from({ length: stage.C }, (_, c) => c);
  const choose = event => select(s, at(stage, placeOf(stage, cellOf(s)).h, placeOf(stage, cellOf(s)).w,
    Number(event.target.value)));
  return element("div", { class: "maps" },
    element("label", {}, isImage(stage) ? "colour " : "shown large: ",
      element("select", { "aria-label": `map of ${stageName(s)}`, onchange: choose },
        numbers.map(c => element("option", { value: c }, mapName(stage, c))))),
    element("div", { class: "strip", "aria-hidden": "true" },
      numbers.map(c => element("canvas", { title: mapName(stage, c), onclick: event => selectAt(s, c, event) }))));
}

/* The logits and the probabilities, a line for each class; of many classes the most probable. */
function buildAnswers() {
  const last = stages.length - 1, p = stages[last].out, logits = stages[page.logits].out;
  const order = Array.from(p, (_, k) => k);
  const lines = p.length <= 12 ? order : order.sort((a, b) => p[b] - p[a]).slice(0, 10);
  const button = (s, k, kind, ...content) => element("button",
    { type: "button", class: kind, "data-stage": s, "data-cell": k,
      "aria-label": `${s === last ? "probability" : "logit"} of ${page.names[k]}: ${digits(stages[s].out[k])}`,
      onclick: () => select(s, k) }, ...content);
  const grid = element("div", { class: "answers" }, ["class", `logit (${stages[page.logits].name})`,
    "probability (softmax)"].map(text => element("span", { class: "head" }, text)),
    lines.map(k => [
      element("span", {}, page.names[k], k === page.label ? " ✓" : ""),
      button(page.logits, k, "logit", digits(logits[k])),
      button(last, k, "bar", digits(p[k]), element("i", { style: `width: ${100 * p[k]}%` })),
    ]));
  const inner = element("div", { id: `stage-${last}` }, grid);
  return element("section", { class: "stage", id: `stage-${page.logits}`, "aria-label": "The answer" },
    element("h2", {}, "The answer ", element("span", { class: "muted" }, answerText())),
    element("p", { class: "muted" },
      `${about(stages[page.logits])} Softmax turns these scores, the logits, into probabilities.`),
    page.label === null ? "" : element("p", { class: "muted" }, `✓ is the true class, ${page.names[page.label]}.`),
    lines.length < p.length ? element("p", { class: "muted" }, `The ${lines.length} most probable of ${p.length} classes.`)
      : "", inner);
}

function answerText() {
  const p = stages[stages.length - 1].out, order = Array.from(p, (_, k) => k).sort((a, b) => p[b] - p[a] || a - b);
  return `${page.names[order[0]]}, ${percent(p[order[0]])}; runner-up ${page.names[order[1]]}, ${percent(p[order[1]])}`;
}

function between(stage) {
  return element("p", { class: "between" }, "↓", stage.passed.flat().map(text => [br(), `${text} `, br(), "↓"]));
}

// -- the selected cell -------------------------------------------------------------------------------------------------------

const number = (value, what) => element("span", { class: `number ${value > 0 ? "positive" : value < 0 ? "negative" : ""}`,
  "data-what": what, "data-value": value }, digits(value));

function inspect() {
  const inspector = byId("inspector"), s = state.stage, stage = stages[s], forward = state.mode === "forward";
  const value = forward || s > page.logits ? stage.out[state.cell] : gradients(state.class).out[s][state.cell];
  const isKnown = forward || hasGradient(s, state.cell), scrolled = inspector.scrollTop;
  inspector.replaceChildren(
    element("button", { type: "button", id: "size", "aria-label": "Make this panel smaller or larger",
      onclick: () => inspector.classList.toggle("small") }, "⇕"),
    element("h2", {}, `${stageName(s)}: ${cellName(s, state.cell)}`),
    element("p", { class: "result" }, isKnown ? number(value, "result") : element("span", { class: "number" }, "not computed"), " ",
      element("small", {}, forward ? "the number of this cell" : s > page.logits ? "probability"
        : `gradient of the logit of “${page.names[state.class]}”`)),
    ...(forward ? FORWARD[stage.kind](s) : explainBackward(s)));
  inspector.scrollTop = scrolled;
  byId("live").textContent = `${stageName(s)}, ${cellName(s, state.cell)}: ${forward ? "" : "gradient "}`
    + (isKnown ? digits(value) : "not computed");
}

/* The end of an explanation: the sum, the bias, and the ReLU. */
function equation(s, text, total, extra = []) {
  const stage = stages[s], before = stage.values[state.cell];
  const bias = stage.bias ? stage.bias[stage.kind === "conv" ? state.cell % stage.C : state.cell] : undefined;
  return formula(text, " ", number(total, "sum"), ...extra,
    ...(bias === undefined ? [] : [" + bias ", number(bias, "bias"), " = ", number(before, "before")]),
    ...(stage.relu ? [br(), before > 0 ? "ReLU keeps it, since it is above 0: " : "ReLU makes it 0, since it is not above 0: ",
      number(stage.out[state.cell], "after")] : []));
}

const FORWARD = {
  input(s) {
    return [para("A pixel of the picture, from 0 to 1: nothing computed it. Choose Backward to see the gradient that reached it, ",
      "or click a cell of a layer below.")];
  },
  conv(s) {
    const stage = stages[s], input = stages[stage.inputs[0]], terms = TERMS.conv(stage, state.cell);
    const many = input.C > 1;
    return [
      para(`The window of ${stage.KH}×${stage.KW} numbers, each times the weight at its place in the kernel. `,
        many ? `${input.C} ${isImage(input) ? "colours" : "maps"}, so ${terms.length} products; here those of one of them:`
          : `${terms.length} products:`),
      ...grouped(stage.inputs[0], terms, stage.KH, stage.KW, ["window", "kernel", "products"], "from"),
      equation(s, `Sum of all ${terms.length} products:`, sum(terms)),
    ];
  },
  dense(s) {
    const stage = stages[s], source = stage.inputs[0], input = stages[source], all = TERMS.dense(stage, state.cell);
    const top = largestFirst(all).slice(0, 20), rest = stage.kernel ? sum(all) - sum(top) : stage.rest[state.cell];
    const others = input.out.length - top.length;
    return [
      para(`${plural(input.out.length, "product")}: each number of ${stageName(source)} times its weight. `,
        input.vector ? `The ${top.length} largest:` : `The ${top.length} largest, at their places in the maps:`),
      input.vector ? "" : contributionPicture(source, top),
      equation(s, `The ${top.length} largest:`, sum(top), others > 0
        ? [` + the other ${others.toLocaleString("en")}: `, number(rest, "rest")] : []),
      table(["cell", "number", "weight", "product"], top),
    ];
  },
  pool(s) {
    const stage = stages[s], terms = TERMS.pool(stage, state.cell), n = terms.filter(term => term.cell >= 0).length;
    const winner = stage.winner ? terms.find(term => term.w === 1) : null;
    return [
      para(stage.winner
        ? [`The ${stage.mode === "max" ? "largest" : "smallest"} number of the window wins (the first of equal ones). `,
          "Cells outside the map do not take part."]
        : `The mean of the ${n} numbers of the window that lie in the map.`),
      element("div", { class: "grids" }, grid(terms, stage.KW, "x", "window", term => stage.winner && term.w === 1)),
      formula(stage.winner ? ["The winner is ", cellName(winner.stage, winner.cell), ": "] : `Sum of the window / ${n}: `,
        number(sum(terms), "sum"),
        stage.relu ? [", after ReLU ", number(stage.out[state.cell], "after")] : ""),
      table(["cell", "number", "share", "product"], terms.filter(term => term.cell >= 0)),
    ];
  },
  norm(s) {
    const stage = stages[s], [term] = TERMS.norm(stage, state.cell), c = state.cell % stage.C;
    return [
      para("The mean and the variance are the moving averages of this map from training."),
      formula("(", number(term.x, "x"), " − ", number(stage.mean[c], "mean"), ") / √(", number(stage.variance[c], "variance"),
        ` + ${stage.epsilon}) · γ `, number(stage.gamma[c], "gamma"), " + β ", number(stage.beta[c], "beta"), " = ",
        number(stage.values[state.cell], "before"), reluEnd(stage)),
      para("The number comes from ", jumpTo(term)),
    ];
  },
  rescale(s) {
    const stage = stages[s], [term] = TERMS.rescale(stage, state.cell), c = state.cell % stage.C;
    return [formula(number(term.x, "x"), " · ", number(stage.scale[c], "scale"), " + ", number(stage.offset[c], "offset"), " = ",
      number(stage.values[state.cell], "before"), reluEnd(stage)), para("The number comes from ", jumpTo(term))];
  },
  elementwise(s) {
    const stage = stages[s], [term] = TERMS.elementwise(stage, state.cell);
    return [formula(`${stage.function}(`, number(term.x, "x"), ") = ", number(stage.values[state.cell], "before"), br(),
      "Its slope there, by which the gradient is multiplied: ", number(stage.slope[state.cell], "slope")), para("The number comes from ", jumpTo(term))];
  },
  add(s) {
    const stage = stages[s], terms = TERMS.add(stage, state.cell);
    return [equation(s, `Sum of ${terms.length} numbers:`, sum(terms)), table(["cell", "number", "times", "product"], terms)];
  },
  concatenate: s => copied(s),
  reshape: s => copied(s),
  pad: s => copied(s),
  softmax(s) {
    const z = stages[page.logits].out, most = z.reduce((a, b) => Math.max(a, b)), e = Array.from(z, v => Math.exp(v - most)),
      total = e.reduce((a, b) => a + b);
    const k = state.cell, lines = Array.from(z, (_, j) => j).sort((a, b) => z[b] - z[a]).slice(0, 12);
    return [
      para("Softmax: e to the power of each logit, divided by the sum of them all. The largest logit is subtracted first, ",
        "which changes no result and avoids numbers that are too large."),
      formula("e^(", number(z[k], "logit"), " − ", number(most, "largest"), ") = ", number(e[k], "power"), br(),
        "divided by the sum ", number(total, "sum"), " = ", number(e[k] / total, "probability")),
      element("div", { class: "scroll" }, element("table", {},
        element("tr", {}, ["class", "logit", "power of e", "probability"].map(text => element("th", { scope: "col" }, text))),
        lines.map(j => element("tr", {}, element("th", { scope: "row" }, page.names[j]),
          [z[j], e[j], e[j] / total].map(v => element("td", {}, digits(v))))))),
    ];
  },
};

const reluEnd = stage => (stage.relu ? [br(), "after ReLU: ", number(stage.out[state.cell], "after")] : "");

function copied(s) {
  const [term] = TERMS[stages[s].kind](stages[s], state.cell);
  return term ? [formula("The same number as ", jumpTo(term)), reluEnd(stages[s])] : [para("A zero around the map.")];
}

const jumpTo = term => element("button", { type: "button", onclick: () => jump(term.stage, term.cell) },
  `${stageName(term.stage)}, ${cellName(term.stage, term.cell)}`);

/* The way back: what each stage that reads this number sent to it. */
function explainBackward(s) {
  const stage = stages[s], name = page.names[state.class];
  if (s >= page.logits) {
    const p = stages[stages.length - 1].out, y = Number(state.cell === state.class);
    return [para(`Backward begins here. It asks: how does the logit of “${name}” change? `,
      "So its own gradient is 1, and that of every other logit is 0."),
      formula(`In training, if the true class is “${name}”, it begins with the gradient of the loss instead: p − y = `,
        number(p[state.cell] - y, "loss")),
      para("Click a cell of a layer above to see what reaches it.")];
  }
  if (!hasGradient(s, state.cell)) {
    return [para("This number is 0: the ReLU that made it so stops whatever gradient arrives here, ",
      "so the network does not compute it.")];
  }
  const parts = [], readers = stage.readers.filter(reader => reader.stage <= page.logits);
  for (const { stage: r, slot } of readers) {
    const terms = sentBy(r, slot, state.cell, state.class);
    parts.push(...sentParts(s, r, terms, readers.length > 1));
  }
  if (readers.length > 1) {
    parts.push(formula(`Sum of what ${readers.length} layers sent: `, number(gradients(state.class).out[s][state.cell], "total")));
  }
  if (stage.relu) {
    const passes = stage.values[state.cell] > 0;
    parts.push(formula("On its way further back: ", passes ? "ReLU lets it through, since the number was above 0: "
      : "ReLU stops it, since the number was not above 0: ",
      number(gradients(state.class).values[s][state.cell], "passed")));
  }
  return parts;
}

/* What stage r sent to the selected cell of stage s, in words, pictures and numbers. */
function sentParts(s, r, terms, several) {
  const reader = stages[r], total = number(sum(terms), several ? `sum-${r}` : "sum");
  if (reader.kind === "conv" || reader.kind === "pool") return sentByWindows(s, r, terms, total);
  if (reader.kind === "dense" && terms.length === 0) {
    return [para(`The sum of what ${reader.C} units of ${reader.name} sent; this page has no room for their weights.`)];
  }
  const top = largestFirst(terms).slice(0, 20), others = terms.length - top.length;
  const off = reader.units ? reader.C - reader.units.length : 0;
  return [
    para(reader.kind === "dense" ? `Each unit of ${reader.name} sends its gradient times its weight for this number.`
      : `${reader.name} sends its gradient times the slope:`,
      others ? ` The ${top.length} largest:` : "",
      off ? ` (${off} of its ${reader.C} units are off: their ReLU stopped the gradient.)` : ""),
    table(["sent by", "gradient", "weight", "sent"], top),
    formula(others ? [number(sum(top), "top"), ` + the other ${others}: `, number(sum(terms) - sum(top), "rest"), " = "] : "Sum: ",
      total),
  ];
}

function sentByWindows(s, r, terms, total) {
  const reader = stages[r], place = placeOf(stages[s], state.cell), isConv = reader.kind === "conv";
  const { rows, columns } = windowsOver(reader, place.h, place.w), count = terms.filter(term => term.cell >= 0).length;
  const windows = isConv ? count / reader.C : count;
  const covering = `${plural(windows, "window")} of ${reader.name} ${windows === 1 ? "covers" : "cover"} this number`;
  const way = isConv
    ? `, in each of ${plural(reader.C, "map")}. The cell of each window sends its own gradient times the weight that`
    + " multiplied this number; here those of one map:"
    : reader.winner ? ". A window sends its gradient to its winner, and nothing to the others."
      : ". Each sends its gradient divided by the number of its cells.";
  return [
    para(covering, way),
    ...grouped(r, terms, rows, columns, ["gradient of the cell", isConv ? "weight" : "share", "sent"], "to"),
    formula(`Sum of all ${count} that ${reader.name} sent: `, total),
  ];
}

/* Terms in groups, one for each map: bars of the groups' sums, and the chosen group as pictures with numbers. */
function grouped(r, terms, rows, columns, titles, direction) {
  const groups = new Map();
  terms.forEach(term => groups.set(term.group, [...(groups.get(term.group) ?? []), term]));
  const parts = [], channel = groups.size > 1 ? state.channel[r] : [...groups.keys()][0], chosen = groups.get(channel);
  if (groups.size > 1) {
    const sums = [...groups].map(([group, members]) => ({ group, product: sum(members) }));
    const pick = group => { setChannel(r, group); };
    parts.push(groups.size > 4 ? bars(sums, channel, pick) : "",
      element("label", {}, isImage(stages[r]) ? "colour " : "map ",
        element("select", { id: "group", onchange: event => { pick(Number(event.target.value)); byId("group").focus(); } },
        largestFirst(sums).map(({ group, product }) => element("option",
          { value: group, selected: group === channel ? "" : false },
            `${isImage(stages[r]) ? mapName(stages[r], group) : group}: ${digits(product)}`)))));
  }
  const pictures = ["x", "w", "product"].map((key, k) => element("div", {}, k === 0 ? ""
    : element("span", { class: "sign" }, k === 1 ? "×" : "="), grid(chosen, columns, key, titles[k])));
  parts.push(element("div", { class: "grids" }, pictures),
    element("details", { "data-open": "numbers", open: state.open ? "" : false,
      ontoggle: event => { state.open = event.target.open; } },
      element("summary", {}, `${chosen.length === 1 ? "this product" : `these ${chosen.length} products`} to six digits, sum ${digits(sum(chosen))}`),
      table([direction === "from" ? "cell" : "sent by", ...titles], chosen)));
  return parts;
}

/* Numbers of terms as a grid of colours; over 7 columns without digits. */
function grid(terms, columns, key, title, won = () => false) {
  const limit = limitOf(terms.map(term => term[key]));
  const cells = terms.map(term => {
    const outside = term.cell < 0 && (key !== "w" || term.w === 0), rgb = colour(term[key], limit);
    return element("div", {
      class: outside ? "outside" : won(term) ? "won" : "", title: term.cell < 0 ? "outside"
        : `${cellName(term.stage, term.cell)}: ${digits(term[key])}`,
      style: outside ? "" : `background: ${css(rgb)}; color: ${ink(rgb)}`, onclick: () => term.cell >= 0
        && jump(term.stage, term.cell),
    }, outside && key === "w" ? "–" : short(term[key]));
  });
  return element("figure", {}, element("div", { class: columns > 7 ? "grid many" : "grid",
    style: `grid-template-columns: repeat(${columns}, auto)`, "aria-hidden": "true" }, cells), element("figcaption", {}, title));
}

/* The sum of each map's products as bars; a click chooses the map. */
function bars(sums, chosen, pick) {
  const canvas = element("canvas", { class: "bars", "aria-hidden": "true",
    title: "the sum of each map's products; click to choose a map" });
  [canvas.width, canvas.height] = [960, 144];
  const context = canvas.getContext("2d"), width = canvas.width / sums.length, limit = limitOf(sums.map(one => one.product)) || 1;
  sums.forEach(({ group, product }, k) => {
    if (group === chosen) {
      context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--line");
      context.fillRect(k * width, 0, width, canvas.height);
    }
    context.fillStyle = css(product > 0 ? palette.positive : palette.negative);
    context.fillRect(k * width + 1, 72, width - 2, -70 * product / limit);
  });
  canvas.addEventListener("click", event => pick(sums[Math.min(sums.length - 1,
    Math.floor(sums.length * event.offsetX / canvas.clientWidth))].group));
  return canvas;
}

/* The largest contributions of a dense unit, at their places in the maps it reads, over the picture. */
function contributionPicture(source, terms) {
  const input = stages[source], canvas = element("canvas", { class: "cells", style: "width: 14rem", role: "img",
    "aria-label": "The largest contributions at their places in the maps; the table below lists them" });
  const { context, size } = enlarge(canvas, pictureOf(input.H, input.W, () => palette.zero)),
    limit = limitOf(terms.map(term => term.product));
  context.globalAlpha = 0.3;
  context.drawImage(imagePicture(), 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  const places = new Map();
  terms.forEach(term => {
    const { h, w } = placeOf(input, term.cell), key = h * input.W + w;
    places.set(key, [...(places.get(key) ?? []), term]);
  });
  places.forEach((found, key) => {
    const total = sum(found), side = size * (0.45 + 0.55 * Math.min(1, Math.abs(total) / limit)), gap = (size - side) / 2;
    context.fillStyle = css(total > 0 ? palette.positive : palette.negative);
    context.fillRect((key % input.W) * size + gap, Math.floor(key / input.W) * size + gap, side, side);
  });
  canvas.addEventListener("click", event => {
    const [column, row] = [Math.floor(event.offsetX / canvas.clientWidth * input.W),
      Math.floor(event.offsetY / canvas.clientHeight * input.H)];
    const found = places.get(row * input.W + column);
    if (found) jump(source, found[0].cell);
  });
  return element("figure", {}, canvas,
    element("figcaption", {}, "orange makes the number larger, blue smaller; a larger square has more effect"));
}

function table(titles, terms) {
  return element("div", { class: "scroll" }, element("table", { class: "terms" },
    element("tr", {}, titles.map(text => element("th", { scope: "col" }, text))),
    terms.map(term => element("tr", { "data-stage": term.stage, "data-cell": term.cell },
      element("td", {}, term.cell < 0 ? "outside" : element("button",
        { type: "button", onclick: () => jump(term.stage, term.cell) }, cellName(term.stage, term.cell))),
      [term.x, term.w, term.product].map(value => element("td", { "data-value": value }, digits(value)))))));
}

// -- what the user does --------------------------------------------------------------------------------------------------------

const cellOf = s => (s === state.stage ? state.cell : at(stages[s], Math.floor(stages[s].H / 2), Math.floor(stages[s].W / 2),
  state.channel[s]));

function select(s, cell) {
  byId("inspector").classList.remove("small");
  state.stage = s;
  state.cell = cell;
  if (!stages[s].vector) state.channel[s] = placeOf(stages[s], cell).c;
  showStrongest();
  draw();
}

/* Select a cell that the explanation names, and go to its picture. */
function jump(s, cell) {
  select(s, cell);
  const section = byId(`stage-${s}`);
  section.querySelector(isAnswer(s) ? `[data-stage="${s}"][data-cell="${cell}"]` : ".cells")?.focus({ preventScroll: true });
  section.scrollIntoView({ block: "nearest" });
}

/* Of the stages whose maps the selected cell sums over, show the map with the largest sum. */
function showStrongest() {
  const stage = stages[state.stage], largest = new Map();
  const terms = state.mode === "forward" ? (stage.kind === "conv" ? TERMS.conv(stage, state.cell) : [])
    : stage.readers.filter(({ stage: r }) => stages[r].kind === "conv").flatMap(({ stage: r, slot }) => sentBy(r, slot,
      state.cell, state.class));
  const key = term => `${term.stage} ${term.group}`, sums = new Map();
  terms.forEach(term => sums.set(key(term), { ...term, product: (sums.get(key(term))?.product ?? 0) + term.product }));
  sums.forEach(total => {
    if (Math.abs(total.product) > Math.abs(largest.get(total.stage)?.product ?? 0)) largest.set(total.stage, total);
  });
  largest.forEach((total, s) => { state.channel[s] = total.group; });
}

function selectAt(s, channel, event) {
  const stage = stages[s], grid = layout(stage, channel), box = event.target.getBoundingClientRect();
  const within = (position, size, n) => Math.min(n - 1, Math.max(0, Math.floor((position / size) * n)));
  const edge = event.target.clientLeft;
  const cell = grid.cell(within(event.clientY - box.top - edge, event.target.clientHeight, grid.rows),
    within(event.clientX - box.left - edge, event.target.clientWidth, grid.columns));
  if (cell >= 0) select(s, cell);
}

function moveBy(s, event) {
  const steps = { ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0], ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0], PageUp: [0, 0, -1],
    PageDown: [0, 0, 1], Enter: [0, 0, 0], " ": [0, 0, 0] }[event.key];
  if (!steps || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const stage = stages[s], { h, w, c } = placeOf(stage, cellOf(s)), inside = (n, size) => Math.min(size - 1, Math.max(0, n));
  const isNew = s !== state.stage;
  if (isNew) select(s, cellOf(s));
  else if (stage.vector) select(s, inside(c + steps[0] * layout(stage, 0).columns + steps[1], stage.C));
  else select(s, at(stage, inside(h + steps[0], stage.H), inside(w + steps[1], stage.W), inside(c + steps[2], stage.C)));
}

/* Show another map of a stage, whose cells the selected one is computed from. */
function setChannel(s, channel) {
  if (s === state.stage) select(s, at(stages[s], placeOf(stages[s], state.cell).h, placeOf(stages[s], state.cell).w, channel));
  else {
    state.channel[s] = channel;
    draw();
  }
}

function setMode(mode) {
  state.mode = mode;
  byId("forward").setAttribute("aria-pressed", mode === "forward");
  byId("backward").setAttribute("aria-pressed", mode === "backward");
  showStrongest();
  drawAll();
}

function draw() {
  const parts = involved();
  stages.forEach((_, s) => drawStage(s, parts));
  document.querySelectorAll(".answers button").forEach(button => button.setAttribute("aria-pressed",
    Number(button.dataset.stage) === state.stage && Number(button.dataset.cell) === state.cell));
  drawSaliency();
  inspect();
}

function drawAll() {
  readPalette();
  stages.forEach((_, s) => { if (!isAnswer(s)) drawStrip(s); });
  draw();
}

/* The first cell that is shown: of the first layer that has windows, the strongest that is not at the edge. */
function firstChoice() {
  const s = Math.max(0, stages.findIndex(stage => stage.kind === "conv" || stage.kind === "pool")), { out, H, W } = stages[s];
  const isInner = cell => { const { h, w } = placeOf(stages[s], cell); return h > 1 && w > 1 && h < H - 2 && w < W - 2; };
  state.stage = s;
  state.cell = out.reduce((best, v, cell) => (v > out[best] && isInner(cell) ? cell : best), 0);
  stages.forEach((stage, n) => {
    const best = stage.out.reduce((found, v, cell) => (v > stage.out[found] ? cell : found), 0);
    state.channel[n] = stage.vector ? 0 : placeOf(stage, n === s ? state.cell : best).c;
  });
}

async function start() {
  await unpack();
  firstChoice();
  showStrongest();
  byId("title").textContent = `What ${page.net} computed for ${page.source}`;
  byId("lead").append(`It answers ${answerText()}. `, element("b", {}, "Click any cell"),
    " to see the sum that made its number. ", element("b", {}, "Backward"), " shows which cells sent a gradient to it.");
  byId("source").textContent = page.note;
  byId("class").append(...page.classes.map(k => element("option", { value: k, selected: k === page.best ? "" : false },
    page.names[k])));
  byId("class").addEventListener("change", event => { state.class = Number(event.target.value); setMode("backward"); });
  byId("forward").addEventListener("click", () => setMode("forward"));
  byId("backward").addEventListener("click", () => setMode("backward"));
  stages.slice(0, page.logits).forEach((stage, s) => byId("network").append(...(s ? [between(stage)] : []), buildStage(s)));
  byId("network").append(between(stages[page.logits]), buildAnswers());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  byId("inspector").classList.toggle("small", matchMedia("(max-width: 899px)").matches);
  document.documentElement.dataset.ready = "yes";
}

start();
