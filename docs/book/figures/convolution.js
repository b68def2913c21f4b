"use strict";

/* Chapter 2: the reader moves a window over an image, and sees the sum that it computes. Padding and stride can be chosen. */

const SEVEN = [
  [0, 3, 4, 2, 0],
  [0, 0, 1, 3, 0],
  [0, 0, 3, 1, 0],
  [0, 2, 3, 0, 0],
  [0, 4, 1, 0, 0],
];
const SEVEN_6 = [...SEVEN.map((row) => [...row, 0]), [0, 2, 0, 0, 0, 0]];      // a row and a column more
const LOWER_EDGE = [
  [1, 2, 1],
  [0, 0, 0],
  [-1, -2, -1],
];
const K = LOWER_EDGE.length;

/* Return how many outputs one axis has, and the cells of padding before and after it, as in scratchnet/padding.py. */
function places(size, padding, stride) {
  if (padding === "valid") return { out: Math.floor((size - K) / stride) + 1, before: 0, after: 0 };
  const out = Math.ceil(size / stride);
  const total = Math.max(0, (out - 1) * stride + K - size);
  const before = Math.floor(total / 2);
  return { out, before, after: total - before };
}

/* Return x[h][v], and 0 outside the image. */
function pixel(x, h, v) {
  return x[h]?.[v] ?? 0;
}

/* Return the products of the window at (oh, ow) with the kernel: [[pixel, weight], …], row by row. */
function products(x, oh, ow, stride, before) {
  return range(K * K).map((q) => {
    const [i, j] = [Math.floor(q / K), q % K];
    return [pixel(x, oh * stride + i - before, ow * stride + j - before), LOWER_EDGE[i][j]];
  });
}

/* Return the sum of all products. */
function sumOf(pairs) {
  return pairs.reduce((sum, [a, b]) => sum + a * b, 0);
}

/* The figure: the image with its padding, the kernel, their products, and the feature map. `free` has the switches. */
function convolutionFigure(box, free) {
  const state = { size: "5", padding: "valid", stride: "1", oh: 0, ow: 0 };
  const grids = element("div", { className: "beside" });
  const line = message();
  if (free) box.append(element("div", { className: "switches" }, ...[
    ["image", { 5: "5×5", 6: "6×6" }, "size"],
    ["padding", { valid: "valid", same: "same" }, "padding"],
    ["stride", { 1: "1", 2: "2" }, "stride"],
  ].map(([title, options, key]) => switches(title, options, state[key], (name) => {
    Object.assign(state, { [key]: name, oh: 0, ow: 0 });
    build();
  }))));
  box.append(grids, line, element("p", { className: "hint" },
    "Move the window: click or touch the image or the feature map, or use the arrow keys."));

  function build() {
    const x = state.size === "5" ? SEVEN : SEVEN_6;
    const stride = Number(state.stride);
    const { out, before, after } = places(x.length, state.padding, stride);
    const whole = before + x.length + after;
    const padded = matrix(whole, whole, (h, v) => pixel(x, h - before, v - before));
    const isPadding = (h, v) => x[h - before]?.[v - before] === undefined;
    const used = (out - 1) * stride + K;             // rows and columns that some window covers
    const feature = matrix(out, out, (oh, ow) => sumOf(products(x, oh, ow, stride, before)));

    const go = (oh, ow) => {
      const limit = (k) => Math.min(Math.max(k, 0), out - 1);
      [state.oh, state.ow] = [limit(oh), limit(ow)];
      draw();
    };
    const move = (dh, dv) => go(state.oh + dh, state.ow + dv);
    const toWindow = (h) => Math.round((h - (K - 1) / 2) / stride);        // the window whose middle is nearest
    const image = grid(`image, ${x.length} × ${x.length}${free ? `; padding: ${before} before, ${after} after` : ""}`, whole, whole, {
      choose: (h, v) => go(toWindow(h), toWindow(v)), move, label: "Image. The arrow keys move the window.",
    });
    const kernel = grid("kernel", K, K);
    const product = grid("products", K, K);
    const map = grid(`feature map, ${out} × ${out}`, out, out, {
      choose: go, move, label: "Feature map. The arrow keys move the window.",
    });
    grids.replaceChildren(image.root, kernel.root, product.root, map.root);
    kernel.show(LOWER_EDGE, () => ["window"]);

    const within = (k, first) => k >= first && k < first + K;
    const inWindow = (h, v) => within(h, state.oh * stride) && within(v, state.ow * stride);
    function draw() {
      image.show(padded, (h, v) => [
        ...(isPadding(h, v) ? ["padding"] : []),
        ...(inWindow(h, v) ? ["window"] : []),
        ...(h >= used || v >= used ? ["unused"] : []),
      ], padded.map((row) => row.map((value) => value / 4)));
      map.show(feature, (oh, ow) => (oh === state.oh && ow === state.ow ? ["chosen"] : []));
      const pairs = products(x, state.oh, state.ow, stride, before);
      product.show(matrix(K, K, (i, j) => pairs[i * K + j][0] * pairs[i * K + j][1]), () => ["window"]);
      line.replaceChildren(element("strong", {}, `out[${state.oh}, ${state.ow}]`), ` = ${sumText(pairs.map(([a, b]) => a * b))} = `,
        element("strong", { className: "sum" }, number(sumOf(pairs))));
    }
    draw();
  }
  build();
}

figure("window", (box) => convolutionFigure(box, false));
figure("padding", (box) => convolutionFigure(box, true));
