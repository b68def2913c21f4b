"use strict";

/* Chapter 8: choose a pixel, and its windows add up its gradient. The numbers are those of docs/book/08-pooling.md. */

const POOLED = {
  x: [
    [1, 3, 2, 0, 1],
    [4, 0, 2, 5, 0],
    [1, 4, 4, 0, 0],
    [0, 2, 0, 0, 0],
    [3, 1, 0, 0, 2],
  ],
  dout: [
    [2, -4, 6, 2],
    [4, 2, -2, 8],
    [10, 4, -6, 2],
    [2, 6, 4, -4],
  ],
  window: 2,
};

/* Return the cells of window (oh, ow), row by row: [[h, v], …]. */
function pooledCells(oh, ow, stride) {
  return range(POOLED.window ** 2).map((t) => [oh * stride + Math.floor(t / POOLED.window), ow * stride + (t % POOLED.window)]);
}

/* Return the weight of each cell of a window in its output, as in scratchnet/layers/pooling.py: s[r, t]. */
function poolingWeights(kind, values) {
  if (kind === "average") return values.map(() => 1 / values.length);
  const kept = values.indexOf(kind === "max" ? Math.max(...values) : Math.min(...values));    // the first of equal ones
  return values.map((_, t) => (t === kept ? 1 : 0));
}

/* Return all windows: { oh, ow, cells, weights, out, dout }. */
function pooledWindows(kind, stride) {
  const count = Math.floor((POOLED.x.length - POOLED.window) / stride) + 1;
  return range(count * count).map((r) => {
    const [oh, ow] = [Math.floor(r / count), r % count];
    const cells = pooledCells(oh, ow, stride);
    const values = cells.map(([h, v]) => POOLED.x[h][v]);
    const weights = poolingWeights(kind, values);
    const out = values.reduce((sum, value, t) => sum + weights[t] * value, 0);
    return { oh, ow, cells, weights, out, dout: POOLED.dout[oh][ow] };
  });
}

/* Return the windows that contain the pixel (h, v), with the weight that it has in each. */
function windowsOf(windows, h, v) {
  return windows.flatMap((one) => {
    const t = one.cells.findIndex(([row, column]) => row === h && column === v);
    return t < 0 ? [] : [{ ...one, weight: one.weights[t] }];
  });
}

/* Return the sum of what its windows send to a pixel. */
function pooledGradient(mine) {
  return mine.reduce((sum, { weight, dout }) => sum + weight * dout, 0);
}

/* Return a sentence about the windows of the chosen pixel. */
function aboutWindows(kind, mine) {
  if (mine.length === 0) return "No window contains this pixel, so the loss does not depend on it.";
  const windows = mine.length === 1 ? "One window contains" : `${mine.length} windows contain`;
  if (kind === "average") return `${windows} this pixel. ${mine.length === 1 ? "It" : "Each"} sends a quarter of its dout to each of its four pixels.`;
  const keep = mine.filter(({ weight }) => weight === 1);
  const lost = keep.length > 1 ? ` With = in place of +=, only the last of these would remain: ${number(keep.at(-1).dout)}.` : "";
  const count = mine.length === 1 ? (keep.length ? "and keeps it" : "and keeps another") : `${keep.length || "none"} of them keep${keep.length === 1 ? "s" : ""} it`;
  return `${windows} this pixel${mine.length === 1 ? " " : ", "}${count}.${lost}`;
}

function poolingFigure(box) {
  const state = { kind: "max", stride: "1", h: 2, v: 1 };
  const size = POOLED.x.length;
  const line = message();
  const kinds = switches("pooling", { max: "max", average: "average", min: "min" }, state.kind, (kind) => change({ kind }));
  const strides = switches("stride", { 1: "1", 2: "2" }, state.stride, (stride) => change({ stride }));
  const limit = (k) => Math.min(Math.max(k, 0), size - 1);
  const choose = (h, v) => change({ h: limit(h), v: limit(v) });
  const move = (dh, dv) => choose(state.h + dh, state.v + dv);
  const x = grid("x", size, size, { choose, move, label: "Image x. The arrow keys choose a pixel." });
  const dx = grid("dx", size, size, { choose, move, label: "Gradient dx. The arrow keys choose a pixel." });
  const pooled = element("div", { className: "beside" });        // out and dout, whose size depends on the stride
  box.append(element("div", { className: "switches" }, kinds, strides), beside(x.root, pooled, dx.root), line,
    element("p", { className: "hint" }, "Choose a pixel: click or touch x or dx, or use the arrow keys."));

  function change(what) {
    Object.assign(state, what);
    const windows = pooledWindows(state.kind, Number(state.stride));
    const mine = windowsOf(windows, state.h, state.v);
    const count = Math.sqrt(windows.length);
    const out = grid(`out: ${state.kind}`, count, count);
    const dout = grid("dout", count, count);
    pooled.replaceChildren(out.root, dout.root);
    for (const { root } of [out, dx]) root.classList.toggle("small", state.kind === "average");      // room for decimals

    const chosen = (h, v) => h === state.h && v === state.v;
    const nearby = (h, v) => mine.some(({ cells }) => cells.some(([row, column]) => row === h && column === v));
    const pixelClasses = (h, v) => [
      ...(windowsOf(windows, h, v).length ? [] : ["unused"]),
      ...(chosen(h, v) ? ["chosen"] : nearby(h, v) ? ["window"] : []),
    ];
    x.show(POOLED.x, pixelClasses);
    dx.show(matrix(size, size, (h, v) => pooledGradient(windowsOf(windows, h, v))), pixelClasses);
    const windowClasses = (oh, ow) => mine.filter((one) => one.oh === oh && one.ow === ow)
      .map(({ weight }) => (weight > 0 ? "copy" : "window"));
    const table = (key) => matrix(count, count, (oh, ow) => windows[oh * count + ow][key]);
    out.show(table("out"), windowClasses);
    dout.show(table("dout"), windowClasses);

    const sum = element("strong", { className: "sum" }, number(pooledGradient(mine)));
    const terms = mine.map(({ weight, dout: d }) => weight * d + 0);
    line.replaceChildren(element("strong", {}, `dx[${state.h}, ${state.v}]`), " = ", ...(terms.length > 1 ? [`${sumText(terms)} = `] : []),
      sum, ". ", aboutWindows(state.kind, mine));
  }
  change({});
}

figure("pooling", poolingFigure);
