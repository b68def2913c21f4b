"use strict";

/* Chapter 3: the copies of a pixel in the matrix of windows, and the sum over them. The image and K are those of convolution.js. */

const SIDE = SEVEN.length - K + 1;                                 // positions of the window on one axis
const WINDOWS = SIDE * SIDE;
const TAPS = K * K;
const PLACES = matrix(WINDOWS, TAPS, (r, q) => [Math.floor(r / SIDE) + Math.floor(q / K), (r % SIDE) + (q % K)]);    // the pixel of each cell
const COLS = PLACES.map((row) => row.map(([h, v]) => SEVEN[h][v]));
const NUMBERED = matrix(WINDOWS, TAPS, (r, q) => 10 * r + q);

/* Return the rows and columns of the matrix in which the pixel (h, v) stands: [[r, q], …]. */
function copiesOf(h, v) {
  return range(WINDOWS * TAPS).map((k) => [Math.floor(k / TAPS), k % TAPS])
    .filter(([r, q]) => PLACES[r][q][0] === h && PLACES[r][q][1] === v);
}

figure("im2col", (box) => {
  const state = { mode: "im2col", h: 1, v: 2, r: null, q: null };      // a pixel; a cell of the matrix, if that was chosen
  const adjoint = matrix(SEVEN.length, SEVEN.length, (h, v) => copiesOf(h, v).reduce((sum, [r, q]) => sum + NUMBERED[r][q], 0));
  const line = message();
  const limit = (k, count) => Math.min(Math.max(k, 0), count - 1);
  const choosePixel = (h, v) => {
    Object.assign(state, { h: limit(h, SEVEN.length), v: limit(v, SEVEN.length), r: null, q: null });
    draw();
  };
  const chooseCell = (r, q) => {
    [state.r, state.q] = [limit(r, WINDOWS), limit(q, TAPS)];
    [state.h, state.v] = PLACES[state.r][state.q];
    draw();
  };
  const image = grid("", SEVEN.length, SEVEN.length, {
    choose: choosePixel, move: (dh, dv) => choosePixel(state.h + dh, state.v + dv),
    label: "Image. The arrow keys choose a pixel.", rowNames: range(SEVEN.length), columnNames: range(SEVEN.length),
  });
  const cols = grid("", WINDOWS, TAPS, {
    choose: chooseCell, move: (dr, dq) => {
      const [r, q] = state.r === null ? copiesOf(state.h, state.v)[0] : [state.r, state.q];
      chooseCell(r + dr, q + dq);
    },
    label: "Matrix. The arrow keys choose a cell.", rowNames: range(WINDOWS), columnNames: range(TAPS),
  });
  cols.root.classList.add("small");
  box.append(
    element("div", { className: "switches" }, switches("show", { im2col: "im2col", col2im: "col2im" }, state.mode, (mode) => {
      state.mode = mode;
      draw();
    })),
    beside(image.root, cols.root), line,
    element("p", { className: "hint" }, "Choose a pixel: click or touch it in the image or in the matrix, or use the arrow keys."));

  function draw() {
    const forward = state.mode === "im2col";
    const copies = copiesOf(state.h, state.v);
    const isCopy = (r, q) => copies.some(([row, column]) => row === r && column === q);
    const values = forward ? COLS : NUMBERED;
    image.caption.textContent = forward ? "x" : "col2im(a)";
    cols.caption.textContent = forward ? "cols = im2col(x): a row for each window" : "a";
    const inWindow = (h, v) => state.r !== null && PLACES[state.r].some(([row, column]) => row === h && column === v);
    image.show(forward ? SEVEN : adjoint, (h, v) => (h === state.h && v === state.v ? ["chosen"] : inWindow(h, v) ? ["window"] : []),
      forward ? SEVEN.map((row) => row.map((value) => value / 4)) : null);
    cols.show(values, (r, q) => (r === state.r && q === state.q ? ["chosen"] : isCopy(r, q) ? ["copy"] : r === state.r ? ["window"] : []));
    const pixelName = `[${state.h}, ${state.v}]`;
    const count = copies.length === 1 ? "1 window" : `${copies.length} windows`;
    const where = copies.map(([r, q]) => `[${r}, ${q}]`).join(", ");
    line.replaceChildren(...(forward
      ? [element("strong", {}, `x${pixelName} = ${number(SEVEN[state.h][state.v])}`), ` is in ${count}. Its copies in cols: ${where}`]
      : [element("strong", {}, `col2im(a)${pixelName}`), ` = ${sumText(copies.map(([r, q]) => NUMBERED[r][q]))}`,
        ...(copies.length > 1 ? [" = ", element("strong", { className: "sum" }, number(adjoint[state.h][state.v]))] : [])]));
  }
  draw();
});
