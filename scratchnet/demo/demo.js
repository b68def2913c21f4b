"use strict";

// The page of `scratchnet demo`. The ink is the opacity of the drawing's canvas. While it changes, it is sent to the server, one
// request at a time, and what comes back is drawn: the network's input, its probabilities, its feature maps, and a gradient.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const [ink, slope, image, pen] = ["ink", "slope", "image", "pen"].map(byId);
const paper = ink.getContext("2d");
const small = document.createElement("canvas");           // the ink in the size that the server takes
small.width = small.height = data.side;
const shrunk = small.getContext("2d", { willReadFrequently: true });
const zoom = ink.width / data.side;

// -- asking the server ---------------------------------------------------------------------------------------------------

let asking = false;      // a request is on its way
let changed = false;     // the ink or the held class has changed since it left
let empty = true;
let held = null;         // the class whose gradient is shown

function inkBytes() {
  shrunk.clearRect(0, 0, data.side, data.side);
  shrunk.drawImage(ink, 0, 0, data.side, data.side);
  const pixels = shrunk.getImageData(0, 0, data.side, data.side).data;
  return Uint8Array.from({ length: data.side ** 2 }, (_, i) => pixels[4 * i + 3]);
}

// Ask what the network sees now. While one request is on its way, the next waits, and only the latest ink is sent.
async function look() {
  changed = true;
  if (asking) return;
  asking = true;
  while (changed) {
    changed = false;
    try {
      const k = held, answer = await ask(k);
      if (!empty) show(answer, k);
      trouble("");
    } catch (error) {
      trouble(error.message);
    }
  }
  asking = false;
}

async function ask(k) {
  const headers = { "Content-Type": "application/octet-stream" };
  const address = k === null ? "/look" : `/look?class=${k}`;
  const response = await fetch(address, { method: "POST", headers, body: inkBytes() }).catch(() => {
    throw new Error("The server does not answer. Start scratchnet demo again, and load this page again.");
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

function trouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

// -- showing the answer --------------------------------------------------------------------------------------------------

const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const percent = p => `${(100 * p).toFixed(1)} %`;

function show(answer, k) {
  if (answer.image === null) {
    forget();
    return;
  }
  window.answer = answer;      // for the curious, in the browser's console
  draw(image, 28, 28, bytesOf(answer.image), grey);
  showProbabilities(answer.probabilities);
  answer.maps.forEach(showMaps);
  showGradient(k === held ? answer.gradient : null, answer.frame);
}

// Draw values from 0 to 255 as pixels of a canvas, in the colours of `paint`.
function draw(canvas, height, width, values, paint) {
  const pixels = new ImageData(width, height);
  values.forEach((value, i) => pixels.data.set(paint(value), 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const grey = value => [value, value, value, 255];

const STOPS = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];      // of the colours "magma"
const MAGMA = Array.from({ length: 256 }, (_, value) => {
  const at = value / 255 * (STOPS.length - 1), n = Math.min(Math.floor(at), STOPS.length - 2);
  return [...STOPS[n].map((low, c) => Math.round(low + (at - n) * (STOPS[n + 1][c] - low))), 255];
});

function showProbabilities(p) {
  const best = p.indexOf(Math.max(...p));
  p.forEach((value, k) => {
    const bar = bars[k];
    bar.classList.toggle("best", k === best);
    bar.querySelector("i").style.width = `${100 * value}%`;
    bar.querySelector(".number").textContent = percent(value);
  });
  setText("#best strong", data.classes[best]);
  setText("#best span", percent(p[best]));
}

// A screen reader reads what changes, so nothing is written that stays as it is.
function setText(selector, text) {
  const element = document.querySelector(selector);
  if (element.textContent !== text) element.textContent = text;
}

function showMaps(maps, n) {
  const [height, width, count] = maps.shape;
  const pixels = bytesOf(maps.pixels);
  const canvas = mapCanvases[n], columns = canvas.columns;
  const context = canvas.getContext("2d");
  for (let c = 0; c < count; c++) {
    const tile = new ImageData(width, height);
    for (let i = 0; i < height * width; i++) tile.data.set(MAGMA[pixels[i * count + c]], 4 * i);
    context.putImageData(tile, (c % columns) * (width + 1), Math.floor(c / columns) * (height + 1));
  }
}

// Where more ink raises the score of the class the pixels are orange, where it lowers the score they are blue.
function showGradient(gradient, frame) {
  showSlope(gradient !== null);
  if (!gradient) return;
  const style = getComputedStyle(document.documentElement);
  const [raises, lowers] = ["--positive", "--negative"].map(name => rgb(style.getPropertyValue(name)));
  const largest = Math.max(...gradient.map(Math.abs)) || 1;
  draw(slope, 28, 28, gradient, value => [...(value > 0 ? raises : lowers), 255 * Math.abs(value) / largest]);
  for (const side of ["top", "left", "height", "width"]) slope.style[side] = `${100 * frame[side] / data.side}%`;
}

function showSlope(shown) {
  slope.hidden = !shown;
  ink.classList.toggle("faint", shown);      // so that colours are seen on it
}

const rgb = hex => [1, 3, 5].map(n => parseInt(hex.trim().slice(n, n + 2), 16));

// -- drawing -------------------------------------------------------------------------------------------------------------

let last = null;         // where the pen was, in pixels of the canvas; null while it is lifted

function place(event) {
  const box = ink.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * ink.width, (event.clientY - box.top) / box.height * ink.height];
}

const dark = matchMedia("(prefers-color-scheme: dark)");

// Use the text's colour for the ink, also for what is drawn already; its opacity stays.
function colourInk() {
  paper.strokeStyle = paper.fillStyle = getComputedStyle(ink).color;
  paper.globalCompositeOperation = "source-in";
  paper.fillRect(0, 0, ink.width, ink.height);
  paper.globalCompositeOperation = "source-over";
}

dark.addEventListener("change", colourInk);

function line(from, to) {
  paper.lineWidth = zoom * byId("width").value;
  paper.lineCap = paper.lineJoin = "round";
  paper.beginPath();
  paper.moveTo(...from);
  paper.lineTo(to[0] + 0.01, to[1]);       // a line of no length would leave no dot
  paper.stroke();
  empty = false;
  byId("hint").hidden = true;
  look();
}

ink.addEventListener("pointerdown", event => {
  if (!event.isPrimary || event.button !== 0) return;
  ink.setPointerCapture(event.pointerId);
  cursor = null;
  movePen();
  last = place(event);
  line(last, last);
});

ink.addEventListener("pointermove", event => {
  if (last === null || !event.isPrimary) return;
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const one of events.length ? events : [event]) {
    const next = place(one);
    line(last, next);
    last = next;
  }
});

for (const end of ["pointerup", "pointercancel"]) ink.addEventListener(end, event => { if (event.isPrimary) last = null; });

function clear() {
  paper.clearRect(0, 0, ink.width, ink.height);
  last = null;
  forget();
}

// Show that nothing is drawn, and so nothing predicted.
function forget() {
  empty = true;
  delete window.answer;
  byId("hint").hidden = false;
  showSlope(false);
  for (const canvas of [image, ...mapCanvases]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  for (const bar of bars) {
    bar.classList.remove("best");
    bar.querySelector("i").style.width = 0;
    bar.querySelector(".number").textContent = "";
  }
  setText("#best strong", "?");
  setText("#best span", "");
}

byId("clear").addEventListener("click", clear);

// -- drawing with the keyboard -------------------------------------------------------------------------------------------

let cursor = null;       // where the keyboard's pen is, in pixels of the canvas
let down = false;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function movePen() {
  pen.hidden = cursor === null;
  if (cursor === null) {
    down = false;
    return;
  }
  pen.classList.toggle("down", down);
  pen.style.left = `${100 * cursor[0] / ink.width}%`;
  pen.style.top = `${100 * cursor[1] / ink.height}%`;
  pen.style.width = pen.style.height = `${100 * byId("width").value / data.side}%`;
}

ink.addEventListener("keydown", event => {
  const move = MOVES[event.key];
  if (!move && event.key !== " ") return;
  event.preventDefault();
  const from = cursor || [ink.width / 2, ink.height / 2];
  const step = 4 * zoom;
  cursor = move ? from.map((at, axis) => Math.min(Math.max(at + step * move[axis], 0), ink.width)) : from;
  if (event.key === " " && !event.repeat) down = !down;
  if (down) line(from, cursor);
  movePen();
});

ink.addEventListener("blur", () => { cursor = null; movePen(); });

// -- the gradient, while a class is held ---------------------------------------------------------------------------------

const usual = byId("told").textContent;

function hold(k) {
  if (held === k) return;
  held = k;
  bars.forEach((bar, n) => bar.classList.toggle("held", n === k));
  showSlope(false);
  byId("told").textContent = usual;
  if (k !== null) {
    byId("told").innerHTML = 'The gradient of <b></b>: more ink on <b class="positive">orange</b> raises its score, on '
      + '<b class="negative">blue</b> lowers it.';
    setText("#told b", data.classes[k]);
  }
  if (!empty) look();
}

const release = () => hold(null);

function makeBar(name, k) {
  const bar = document.createElement("button");
  bar.type = "button";
  bar.className = "bar";
  bar.innerHTML = '<i></i><b></b><span class="number"></span>';
  bar.querySelector("b").textContent = name;
  bar.addEventListener("pointerdown", event => { if (event.isPrimary && event.button === 0) hold(k); });
  for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) bar.addEventListener(end, release);
  bar.addEventListener("contextmenu", event => event.preventDefault());      // which a finger that stays down opens
  bar.addEventListener("keydown", event => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); hold(k); } });
  byId("bars").append(bar);
  return bar;
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") clear();
  if (/^[0-9]$/.test(event.key) && Number(event.key) < data.classes.length) hold(Number(event.key));
});
document.addEventListener("keyup", event => { if (/^[0-9 ]$|^Enter$/.test(event.key)) release(); });
window.addEventListener("blur", release);

// -- the start -----------------------------------------------------------------------------------------------------------

function makeMaps({ name, shape: [height, width, count], channels }) {
  const figure = document.createElement("figure");
  figure.innerHTML = '<figcaption class="small"><b></b> <span class="muted"></span></figcaption><canvas role="img"></canvas>';
  const shown = count < channels ? `${count} of ${channels}` : count;
  figure.querySelector("b").textContent = name;
  figure.querySelector("span").textContent = `${shown} maps of ${height}×${width}`;
  const canvas = figure.querySelector("canvas");
  canvas.columns = Math.min(count, count > 32 ? 16 : 8);
  canvas.width = canvas.columns * (width + 1) - 1;
  canvas.height = Math.ceil(count / canvas.columns) * (height + 1) - 1;
  canvas.setAttribute("aria-label", `Feature maps of ${name}`);
  byId("maps").append(figure);
  return canvas;
}

const bars = data.classes.map(makeBar);
const mapCanvases = data.layers.map(makeMaps);
colourInk();
forget();
