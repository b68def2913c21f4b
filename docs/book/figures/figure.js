"use strict";

/* What the figures of the book have in common. A figure is a place in a page,

     <div class="figure" data-figure="window"> … a picture … </div>

   and a function that fills it: figure("window", box => { … }). The picture is shown where scripts are off. */

const builders = {};

/* Store the function that fills the figures of this name. The function receives the empty box. */
function figure(name, build) {
  builders[name] = build;
}

document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".figure[data-figure]")) {
    const build = builders[box.dataset.figure];
    if (build) {
      box.replaceChildren();
      build(box);
      box.classList.add("alive");
    }
  }
});

/* Return a new element: element("p", { className: "sum" }, "text", child, …). */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/* Return a number as text, with a minus sign that is as wide as a plus, and at most 4 decimals. */
function number(value) {
  return String(Math.round(value * 1e4) / 1e4 + 0).replace("-", "−");
}

/* Return a sum as text: "3 + 0 − 2". */
function sumText(terms) {
  return terms.map((term, k) => (k === 0 ? number(term) : term < 0 ? ` − ${number(-term)}` : ` + ${number(term)}`)).join("");
}

/* Return [0, 1, …, count - 1]. */
function range(count) {
  return [...Array(count).keys()];
}

/* Return a matrix of `rows` × `columns` numbers, each computed by f(row, column). */
function matrix(rows, columns, f) {
  return range(rows).map((h) => range(columns).map((v) => f(h, v)));
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/* A grid of numbers. `root` is the whole element, `caption` its title, and `body` what can have the focus. The classes of
   `cells[h][v]` say how they look:

     padding  window  chosen  copy  unused       (figures.css)

   show(values, classes, shades) writes values[h][v] into each cell and gives it the classes classes(h, v), a list. A null is an empty
   cell, and shades[h][v], from 0 to 1, is drawn as ink. `choose(h, v)` is called when a cell is clicked, or when a finger or the pressed
   mouse moves over it, and `move(dh, dv)` for an arrow key. With one of them, the grid can have the focus; `label` says what it is for. */
function grid(title, rows, columns, { choose, move, label, rowNames, columnNames } = {}) {
  const cells = matrix(rows, columns, (h, v) => {
    const cell = element("span", { className: "cell" });
    cell.dataset.row = h;
    cell.dataset.column = v;
    return cell;
  });
  const body = element("div", { className: "cells" });
  body.style.setProperty("--columns", columns);
  if (columnNames) {
    body.classList.add("named");
    body.append(...["", ...columnNames].map((name) => element("span", { className: "name" }, name)));
  }
  cells.forEach((row, h) => body.append(...(rowNames ? [element("span", { className: "name" }, rowNames[h])] : []), ...row));
  const caption = element("span", { className: "title" }, title);
  const root = element("div", { className: "grid" }, caption, body);

  function show(values, classes = () => [], shades = null) {
    cells.forEach((row, h) => row.forEach((cell, v) => {
      const value = values[h][v];
      cell.textContent = typeof value === "number" ? number(value) : value ?? "";
      cell.className = ["cell", ...classes(h, v)].join(" ");
      cell.style.setProperty("--shade", shades ? shades[h][v] : 0);
    }));
  }

  if (choose || move) {
    body.tabIndex = 0;
    body.setAttribute("role", "application");
    body.setAttribute("aria-label", label ?? title);
  }
  if (choose) {
    body.classList.add("clickable");
    const at = (event) => {
      const cell = event.target.closest(".cell");
      if (cell) choose(Number(cell.dataset.row), Number(cell.dataset.column));
    };
    body.addEventListener("pointerdown", (event) => {
      event.target.releasePointerCapture?.(event.pointerId);      // so that a finger, too, enters the next cells
      at(event);
    });
    body.addEventListener("pointerover", (event) => event.buttons && at(event));
  }
  if (move) {
    body.addEventListener("keydown", (event) => {
      if (event.key in ARROWS && !event.ctrlKey && !event.altKey && !event.metaKey) {
        event.preventDefault();       // an arrow key would scroll the page
        move(...ARROWS[event.key]);
      }
    });
  }
  return { root, body, cells, caption, show };
}

let choices = 0;

/* A choice of one of several things: switches("padding", { valid: "valid", same: "same" }, "valid", name => { … }). */
function switches(title, options, chosen, choose) {
  const group = `choice-${++choices}`;
  const buttons = Object.entries(options).map(([name, text]) => {
    const input = element("input", { type: "radio", name: group, value: name, checked: name === chosen });
    input.addEventListener("change", () => choose(name));
    return element("label", {}, input, element("span", {}, text));
  });
  return element("fieldset", {}, element("legend", {}, title), ...buttons);
}

/* A line of text below the grids, which a screen reader reads out when it changes. */
function message() {
  const line = element("p", { className: "message" });
  line.setAttribute("aria-live", "polite");
  return line;
}

/* Grids beside each other, or below each other where there is no room. */
function beside(...parts) {
  return element("div", { className: "beside" }, ...parts);
}
