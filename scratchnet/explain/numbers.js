"use strict";
/* The page of `scratchnet explain`. Python has written what every layer computed (inside.py). Here it is drawn, and the selected
   cell is explained: forward, the terms whose sum it is; backward, the terms whose sum its gradient is.

   A stage is a layer, with the ReLU after it. `values` is what the layer gave, `out` what the next one reads: max(0, values) if
   stage.relu. Arrays are flat, in NumPy's order: the number of map c at row h and column w is at (h·W + w)·C + c. A row of
   n numbers, such as a dense layer's, has H = W = 1 and C = n. */

const page = JSON.parse(document.getElementById("data").textContent);
const stages = page.stages;
const state = { mode: "forward", stage: 0, cell: 0, class: page.best, channel: [], open: false };
const byId = id => document.getElementById(id);

// -- the data --------------------------------------------------------------------------------------------------------

async function unpack() {
  const bytes = Uint8Array.from(atob(page.arrays), letter => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const numbers = new Float32Array(await new Response(plain).arrayBuffer());
  for (const stage of stages) {
    for (const [key, value] of Object.entries(stage)) {
      if (value && value.size !== undefined) stage[key] = numbers.subarray(value.at, value.at + value.size);
    }
    prepare(stage);
  }
  stages.forEach((stage, s) => stage.inputs.forEach((input, slot) => stages[input].readers.push({ stage: s, slot })));
}

function prepare(stage) {
  const shape = stage.shape;
  [stage.H, stage.W, stage.C] = shape.length === 3 ? shape : [1, 1, shape[0]];
  stage.vector = shape.length === 1;
  stage.readers = [];
  stage.out = stage.relu ? stage.values.map(v => Math.max(0, v)) : stage.values;
  if (stage.kind === "dense" && stage.cells) {
    stage.place = new Map(Array.from(stage.cells, (cell, j) => [cell, j]));
  }
  if (stage.kind === "norm") stage.slope = stage.gamma.map((gamma, c) => gamma / Math.sqrt(stage.variance[c] + stage.epsilon));
  if (stage.kind === "pool" && stage.mode !== "average") stage.winner = winners(stage);
}

const isImage = stage => stage.kind === "input";
const at = (stage, h, w, c) => (h * stage.W + w) * stage.C + c;
const placeOf = (stage, cell) => {
  const c = cell % stage.C, pixel = (cell - c) / stage.C;
  return { h: Math.floor(pixel / stage.W), w: pixel % stage.W, c };
};

// -- windows ---------------------------------------------------------------------------------------------------------

/* The cells of the window of output (oh, ow): i and j within the window, h and w in the input; inside is false for padding. */
function windowAt(stage, input, oh, ow) {
  const cells = [];
  for (let i = 0; i < stage.KH; i++) {
    for (let j = 0; j < stage.KW; j++) {
      const h = oh * stage.SH + i - stage.top, w = ow * stage.SW + j - stage.left;
      cells.push({ i, j, h, w, inside: h >= 0 && w >= 0 && h < input.H && w < input.W });
    }
  }
  return cells;
}

/* The outputs whose windows cover the input's pixel (h, w), in rows; inside is false where the layer has no such output. */
function windowsOver(stage, h, w) {
  const axis = (position, K, S) => {
    const found = [];
    for (let o = Math.ceil((position - K + 1) / S); o <= Math.floor(position / S); o++) found.push(o);
    return found;
  };
  const found = [];
  const down = axis(h + stage.top, stage.KH, stage.SH), across = axis(w + stage.left, stage.KW, stage.SW);
  const [OH, OW] = stage.vector ? [1, 1] : [stage.H, stage.W];
  for (const oh of down) {
    for (const ow of across) {
      const i = h + stage.top - oh * stage.SH, j = w + stage.left - ow * stage.SW;
      found.push({ oh, ow, i, j, inside: oh >= 0 && ow >= 0 && oh < OH && ow < OW });
    }
  }
  return { cells: found, rows: down.length, columns: across.length };
}

/* For each output of max- or min-pooling, the cell that won: the first of equal ones, in row-major order. */
function winners(stage) {
  const input = stages[stage.inputs[0]], sign = stage.mode === "max" ? 1 : -1;
  const winner = new Int32Array(stage.out.length);
  for (let oh = 0; oh < stage.H; oh++) {
    for (let ow = 0; ow < stage.W; ow++) {
      const cells = windowAt(stage, input, oh, ow).filter(cell => cell.inside);
      for (let c = 0; c < stage.C; c++) {
        let best = -1;
        for (const { h, w } of cells) {
          const cell = at(input, h, w, c);
          if (best < 0 || sign * input.out[cell] > sign * input.out[best]) best = cell;
        }
        winner[at(stage, oh, ow, c)] = best;
      }
    }
  }
  return winner;
}

const realCells = (stage, input, oh, ow) => windowAt(stage, input, oh, ow).filter(cell => cell.inside).length;
const kernelAt = (stage, i, j, c, f) => ((i * stage.KW + j) * stages[stage.inputs[0]].C + c) * stage.C + f;

/* Where a number of input `slot` stands in a concatenation, along its axis. */
function joined(stage, slot) {
  const axis = stage.vector ? 2 : stage.axis;
  const size = s => [s.H, s.W, s.C][axis];
  return { axis, start: stage.inputs.slice(0, slot).reduce((sum, s) => sum + size(stages[s]), 0),
    size: size(stages[stage.inputs[slot]]) };
}

// -- forward: the terms of a number -----------------------------------------------------------------------------------

/* Each returns terms {stage, cell, x, w, product}; cell is -1 for padding. The products of a convolution, a pool, an `add` or a
   dense layer with its kernel add up to the number, with the bias; of a large dense layer, only the largest terms are here. */
const TERMS = {
  conv(stage, cell) {
    const { h: oh, w: ow, c: f } = placeOf(stage, cell), source = stage.inputs[0], input = stages[source], terms = [];
    for (const { i, j, h, w, inside } of windowAt(stage, input, oh, ow)) {
      for (let c = 0; c < input.C; c++) {
        const from = inside ? at(input, h, w, c) : -1, x = inside ? input.out[from] : 0,
          weight = stage.kernel[kernelAt(stage, i, j, c, f)];
        terms.push({ stage: source, cell: from, x, w: weight, product: x * weight, group: c });
      }
    }
    return terms;
  },
  dense(stage, cell) {
    const source = stage.inputs[0], input = stages[source], terms = [];
    const add = (from, w) => terms.push({ stage: source, cell: from, x: input.out[from], w, product: input.out[from] * w });
    if (stage.kernel) input.out.forEach((_, from) => add(from, stage.kernel[from * stage.C + cell]));
    else {
      const n = stage.top_cells.length / stage.C;             // the largest of each unit
      for (let k = cell * n; k < (cell + 1) * n; k++) add(stage.top_cells[k], stage.top_weights[k]);
    }
    return terms;
  },
  pool(stage, cell) {
    const { h: oh, w: ow, c } = placeOf(stage, cell), source = stage.inputs[0], input = stages[source];
    const n = realCells(stage, input, oh, ow);
    return windowAt(stage, input, oh, ow).map(({ h, w, inside }) => {
      const from = inside ? at(input, h, w, c) : -1, x = inside ? input.out[from] : 0;
      const share = !inside ? 0 : stage.winner ? Number(stage.winner[cell] === from) : 1 / n;
      return { stage: source, cell: from, x, w: share, product: x * share };
    });
  },
  add: (stage, cell) => stage.inputs.map(source => one(source, cell, 1)),
  concatenate(stage, cell) {
    const place = placeOf(stage, cell), keys = ["h", "w", "c"];
    for (let slot = 0; slot < stage.inputs.length; slot++) {
      const { axis, start, size } = joined(stage, slot), along = place[keys[axis]] - start;
      if (along >= 0 && along < size) {
        const inner = { ...place, [keys[axis]]: along };
        return [{ ...one(stage.inputs[slot], at(stages[stage.inputs[slot]], inner.h, inner.w, inner.c), 1), slot }];
      }
    }
    return [];
  },
  pad(stage, cell) {
    const { h, w, c } = placeOf(stage, cell), input = stages[stage.inputs[0]], y = h - stage.top, x = w - stage.left;
    return y >= 0 && x >= 0 && y < input.H && x < input.W ? [{ ...one(stage.inputs[0], at(input, y, x, c), 1), slot: 0 }] : [];
  },
  norm: (stage, cell) => [one(stage.inputs[0], cell, stage.slope[cell % stage.C])],
  rescale: (stage, cell) => [one(stage.inputs[0], cell, stage.scale[cell % stage.C])],
  elementwise: (stage, cell) => [one(stage.inputs[0], cell, 1)],
  reshape: (stage, cell) => [one(stage.inputs[0], cell, 1)],
  softmax: (stage, cell) => [one(stage.inputs[0], cell, 1)],
  input: () => [],
};

function one(source, cell, w) {
  const x = stages[source].out[cell];
  return { stage: source, cell, x, w, product: x * w };
}

// -- backward: the gradients of all stages, and the terms of one -------------------------------------------------------

const known = new Map();

/* The gradient of a class's logit at every stage: `out` at what the next stage reads, `values` before the ReLU. */
function gradients(k) {
  if (!known.has(k)) {
    const out = stages.map(stage => new Float64Array(stage.out.length)), values = [...out];
    out[page.logits][k] = 1;
    for (let s = page.logits; s > 0; s--) {
      const stage = stages[s];
      if (stage.relu) values[s] = out[s].map((gradient, cell) => (stage.values[cell] > 0 ? gradient : 0));
      SEND[stage.kind](stage, values[s], stage.inputs.map(input => out[input]), k);
    }
    known.set(k, { out, values });
  }
  return known.get(k);
}

/* Each adds to the gradients `dx` of its inputs what it sends back for `dout`, the gradient of its own values. */
const SEND = {
  conv(stage, dout, [dx]) {
    const input = stages[stage.inputs[0]];
    for (let oh = 0; oh < stage.H; oh++) {
      for (let ow = 0; ow < stage.W; ow++) {
        const first = at(stage, oh, ow, 0), active = [];
        for (let f = 0; f < stage.C; f++) if (dout[first + f] !== 0) active.push(f);
        if (active.length === 0) continue;
        for (const { i, j, h, w, inside } of windowAt(stage, input, oh, ow)) {
          if (!inside) continue;
          for (let c = 0; c < input.C; c++) {
            const row = kernelAt(stage, i, j, c, 0);
            let sum = 0;
            for (const f of active) sum += dout[first + f] * stage.kernel[row + f];
            dx[at(input, h, w, c)] += sum;
          }
        }
      }
    }
  },
  dense(stage, dout, [dx], k) {
    if (stage.kernel) {
      for (let cell = 0; cell < dx.length; cell++) {
        for (let unit = 0; unit < stage.C; unit++) dx[cell] += dout[unit] * stage.kernel[cell * stage.C + unit];
      }
    } else {
      const U = stage.units.length, known = stage.rows.length / U, others = stage.cells.length - known;
      stage.cells.forEach((cell, j) => {
        if (j >= known) dx[cell] += stage.dx[page.classes.indexOf(k) * others + j - known];
        else for (let u = 0; u < U; u++) dx[cell] += dout[stage.units[u]] * stage.rows[j * U + u];
      });
    }
  },
  pool(stage, dout, [dx]) {
    const input = stages[stage.inputs[0]];
    if (stage.winner) {
      dout.forEach((gradient, cell) => { dx[stage.winner[cell]] += gradient; });
      return;
    }
    for (let oh = 0; oh < stage.H; oh++) {
      for (let ow = 0; ow < stage.W; ow++) {
        const cells = windowAt(stage, input, oh, ow).filter(cell => cell.inside);
        for (let c = 0; c < stage.C; c++) {
          for (const { h, w } of cells) dx[at(input, h, w, c)] += dout[at(stage, oh, ow, c)] / cells.length;
        }
      }
    }
  },
  add: (stage, dout, dxs) => dxs.forEach(dx => dout.forEach((gradient, cell) => { dx[cell] += gradient; })),
  reshape: (stage, dout, [dx]) => dout.forEach((gradient, cell) => { dx[cell] += gradient; }),
  concatenate: sendTerms,
  pad: sendTerms,
  norm: (stage, dout, [dx]) => dout.forEach((gradient, cell) => { dx[cell] += gradient * stage.slope[cell % stage.C]; }),
  rescale: (stage, dout, [dx]) => dout.forEach((gradient, cell) => { dx[cell] += gradient * stage.scale[cell % stage.C]; }),
  elementwise: (stage, dout, [dx]) => dout.forEach((gradient, cell) => { dx[cell] += gradient * stage.slope[cell]; }),
};

/* Send each gradient to the one number that the output is a copy of. */
function sendTerms(stage, dout, dxs) {
  dout.forEach((gradient, cell) => {
    for (const term of TERMS[stage.kind](stage, cell)) dxs[term.slot][term.cell] += gradient;
  });
}

/* Whether the gradient of a number is known: a large dense layer sends none to a number
   that a ReLU made 0, and neither does pooling between them. */
function hasGradient(s, cell) {
  return stages[s].readers.every(({ stage: r, slot }) => {
    if (stages[r].place) return stages[r].place.has(cell);
    return stages[r].kind !== "pool" || stages[r].relu
      || sentBy(r, slot, cell, state.class).every(term => term.w === 0 || hasGradient(r, term.cell));
  });
}

/* What stage r sent to one number of its input: terms {stage, cell, x, w, product}, where x is the gradient of r's number and
   w what it is multiplied by; cell is -1 where r has no number at that place. */
function sentBy(r, slot, cell, k) {
  const stage = stages[r], source = stage.inputs[slot], input = stages[source], place = placeOf(input, cell);
  const dout = gradients(k).values[r], term = (to, w, group) => ({ stage: r, cell: to, x: dout[to], w, product: dout[to] * w,
    group });
  const none = group => ({ stage: r, cell: -1, x: 0, w: 0, product: 0, group });
  if (stage.kind === "conv") {
    return windowsOver(stage, place.h, place.w).cells.flatMap(({ oh, ow, i, j, inside }) =>
      Array.from({ length: stage.C }, (_, f) => inside
        ? term(at(stage, oh, ow, f), stage.kernel[kernelAt(stage, i, j, place.c, f)], f) : none(f)));
  }
  if (stage.kind === "pool") {
    return windowsOver(stage, place.h, place.w).cells.map(({ oh, ow, inside }) => {
      if (!inside) return none();
      const to = at(stage, oh, ow, place.c);
      return term(to, stage.winner ? Number(stage.winner[to] === cell) : 1 / realCells(stage, input, oh, ow));
    });
  }
  if (stage.kind === "dense") {
    if (stage.kernel) return Array.from(dout, (_, unit) => term(unit, stage.kernel[cell * stage.C + unit]));
    const row = stage.place.get(cell), U = stage.units.length;
    if (row === undefined || (row + 1) * U > stage.rows.length) return [];
    return Array.from(stage.units, (unit, j) => term(unit, stage.rows[row * U + j]));
  }
  if (stage.kind === "norm") return [term(cell, stage.slope[place.c])];
  if (stage.kind === "rescale") return [term(cell, stage.scale[place.c])];
  if (stage.kind === "elementwise") return [term(cell, stage.slope[cell])];
  if (stage.kind === "add" || stage.kind === "reshape") return [term(cell, 1)];
  if (stage.kind === "pad") return [term(at(stage, place.h + stage.top, place.w + stage.left, place.c), 1)];
  if (stage.kind === "concatenate") {
    const { axis, start } = joined(stage, slot), keys = ["h", "w", "c"];
    const outer = { ...place, [keys[axis]]: place[keys[axis]] + start };
    return [term(at(stage, outer.h, outer.w, outer.c), 1)];
  }
  return [];
}
