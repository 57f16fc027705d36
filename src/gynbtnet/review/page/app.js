// The page: worklist, tools, keys and what connects them with the views and the server.

import { Case, LOADED_AGAIN } from "./case.js";
import { ask, showCorrection, showKeys } from "./dialogs.js";
import { drawHistogram, isodoseColour, parseIsodoses } from "./dose.js";
import { canvasImage, drawScan } from "./drawing.js";
import { PLANES } from "./planes.js";
import { get, post } from "./server.js";
import { fillRegion, paintPolygon } from "./shapes.js";
import { Stroke } from "./stroke.js";
import { showStructures } from "./structures.js";
import { View } from "./viewer.js";

const WINDOWS = [
  { name: "Pelvis", level: 40, width: 400 },
  { name: "Soft tissue", level: 50, width: 220 },
  { name: "Bone", level: 400, width: 1800 },
  { name: "Applicator", level: 1500, width: 4000 },
];
const TOOLS = [
  ["look", "Look", "V", "Move the cross, scroll and zoom"],
  ["brush", "Brush", "B", "Draw with a round brush"],
  ["eraser", "Eraser", "E", "Erase with a round brush"],
  ["polygon", "Polygon", "P", "Add a polygon; with Shift at its end, remove it. Double click or Enter ends it"],
  ["fill", "Fill", "F", "Fill the closed region that is clicked"],
];
const ACTIONS = [
  ["interpolate", "Interpolate", "I", "Between the slices drawn by hand on both sides of this one"],
  ["copy-lower", "Copy from below", "C", "Replace this slice by the one with the next lower number"],
  ["copy-upper", "Copy from above", "Shift+C", "Replace this slice by the one with the next higher number"],
  ["undo", "Undo", "Ctrl+Z", "Undo the last change of this case"],
  ["redo", "Redo", "Ctrl+Y", "Repeat the change that was undone"],
];
const SHOW = [
  ["fill", "Shade", "O", "Shade the selected structure"],
  ["automatic", "Predicted", "T", "Show the predicted contours as thin dashed lines"],
  ["reference", "Reference", "R", "Show the reference contours as white dotted lines"],
  ["dose", "Dose", "D", "Show the dose as a wash with isodoses"],
];
const PAUSE_MS = 1500;
const LEASE_MS = 2500;

const element = (id) => document.getElementById(id);
const page = {
  case: null, image: canvasImage, cursor: [0, 0, 0], zoom: 1, window: { ...WINDOWS[0] }, tool: "look", size: 8, selected: 0, hidden: new Set(),
  show: { fill: true, automatic: false, reference: false, dose: false }, isodoses: [3.5, 5, 7, 10.5, 14], readOnly: false,
  active: 0, number: -1,
};
const tab = crypto.randomUUID();
const views = PLANES.map((plane, i) => makeView(plane, i));
let worklist = [];
let grows = false; // predictions of a node join the worklist
let isNiivueInstalled = false;
let drawn = false;

function makeView(plane, i) {
  const box = document.createElement("div");
  box.className = `view ${plane.name}`;
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("aria-label", `${plane.name} plane`);
  canvas.setAttribute("role", "application");
  const caption = document.createElement("div");
  caption.className = "caption";
  box.append(canvas, caption);
  element("views").append(box);
  const view = new View(box, canvas, caption, plane, page);
  canvas.addEventListener("focus", () => activate(i));
  canvas.addEventListener("pointerdown", (event) => pointerDown(event, view, i));
  canvas.addEventListener("pointermove", (event) => pointerMove(event, view));
  canvas.addEventListener("pointerup", (event) => pointerUp(event, view));
  canvas.addEventListener("pointercancel", () => abandon(view));
  canvas.addEventListener("pointerleave", () => { view.pointer = null; view.draw(); });
  canvas.addEventListener("dblclick", (event) => { event.preventDefault(); endPolygon(view, event.shiftKey); });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => wheel(event, view), { passive: false });
  return view;
}

// --- Drawing the page ---------------------------------------------------------------------------------------------

function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    for (const view of views) view.draw();
  });
}

function showAll() {
  if (!page.case) return;
  showStructures(element("structures"), page, { select, jump, accept, toggleHidden });
  const { state } = page.case;
  const can = { undo: state.can_undo, redo: state.can_redo };
  for (const button of document.querySelectorAll("#action-buttons button, #tool-buttons button")) {
    const name = button.dataset.name;
    button.disabled = name !== "look" && (page.readOnly || can[name] === false);
    if (button.closest("#tool-buttons")) button.setAttribute("aria-pressed", String(name === page.tool));
  }
  for (const button of document.querySelectorAll("#show-buttons button")) {
    const name = button.dataset.name;
    button.setAttribute("aria-pressed", String(page.show[name]));
    button.hidden = (name === "dose" && !page.case.dose_shape) || (name === "reference" && !page.case.structures.some((s) => s.has_reference));
  }
  element("write").disabled = page.readOnly;
  document.body.dataset.state = page.readOnly ? "read-only" : page.case.waiting ? "saving" : "saved";
  element("size-value").textContent = `${page.size} mm`;
  element("size").value = page.size;
  element("window-value").textContent = `${Math.round(page.window.level)} ± ${Math.round(page.window.width / 2)} HU`;
  const preset = WINDOWS.findIndex((w) => w.level === page.window.level && w.width === page.window.width);
  element("window").value = preset < 0 ? "" : String(preset);
  element("dose").hidden = !(page.case.dose_shape && page.show.dose);
  if (!element("status").classList.contains("error")) say(page.readOnly ? "Read only" : page.case.waiting ? "Saving …" : "All changes are saved");
  views.forEach((view, i) => view.element.classList.toggle("active", i === page.active));
  draw();
}

function say(sentence, isError = false) {
  element("status").textContent = sentence;
  element("status").classList.toggle("error", isError);
}

function warn(sentence) {
  element("banner").textContent = sentence ?? "";
  element("banner").hidden = !sentence;
}

async function attempt(work) {
  const opened = page.case;
  try {
    warn(null);
    return await work();
  } catch (error) {
    warn(error.message);
    if (!opened || page.case !== opened) return null;
    if (error.readOnly) await loseLease();
    else if (!error.harmless) await opened.reload().catch(() => {});
    return null;
  }
}

// --- Cases and the lease -------------------------------------------------------------------------------------------

async function showWorklist(isLeft) {
  await leaveCase();
  const answer = await getWorklist();
  if (isLeft()) return null;
  if (worklist.length === 1 && !grows) return openCase(0, isLeft);
  element("title").textContent = "Review";
  element("worklist").hidden = false;
  element("to-worklist").hidden = true;
  listCases(answer.order);
  element("cases").querySelector("button")?.focus();
  return null;
}

async function getWorklist() {
  const answer = await get("/api/worklist");
  worklist = answer.cases;
  grows = answer.grows;
  isNiivueInstalled = answer.niivue;
  element("to-report").hidden = !answer.report;
  element("approval").textContent = answer.approve
    ? `What is written will be approved by ${answer.approve}.`
    : "What is written stays unapproved; start with --approve NAME to approve it.";
  return answer;
}

function listCases(order) {
  element("cases").replaceChildren(...order.map((i) => {
    const item = worklist[i];
    const row = document.createElement("tr");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = item.name;
    button.disabled = Boolean(item.problem);
    button.addEventListener("click", () => { location.hash = `case=${i}`; });
    const cells = [item.structures_flagged, item.flags, item.lowest_dsc?.toFixed(2) ?? "unknown", item.problem || (item.is_written ? "reviewed" : "to review")];
    const first = document.createElement("td");
    first.append(button, item.synthetic ? " SYNTHETIC" : "");
    row.append(first, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
}

setInterval(async () => {
  if (!grows || element("worklist").hidden) return;
  const before = JSON.stringify(worklist);
  const answer = await getWorklist().catch(() => null); // the server may be gone; the next click reports it
  if (answer && JSON.stringify(worklist) !== before) listCases(answer.order);
}, 10000);

async function openCase(number, isLeft) {
  await leaveCase();
  if (isLeft()) return;
  element("worklist").hidden = true;
  say("Loading …");
  performance.mark("open");
  const opened = await attempt(() => new Case(number, tab).load().catch((error) => {
    if (!isLeft()) throw error;
  }));
  if (!opened || isLeft()) return;
  page.number = number;
  page.case = opened;
  page.image = canvasImage;
  page.selected = 0;
  page.hidden.clear();
  page.zoom = 1;
  page.cursor = middleOf(opened);
  for (const view of views) view.reset();
  opened.onChange((structure) => {
    showAll();
    if (structure !== undefined) updateMetrics();
  });
  element("title").textContent = opened.name;
  element("notice").textContent = opened.synthetic ? "SYNTHETIC: no real patient. Research use only." : "Research use only.";
  element("notes").replaceChildren(...opened.notes.map((note) => Object.assign(document.createElement("p"), { textContent: note })));
  element("to-worklist").hidden = worklist.length < 2 && !grows;
  element("case").hidden = false;
  const isWriter = await holdLease();
  if (page.case !== opened) return;
  page.readOnly = !isWriter;
  const first = opened.structures.findIndex((structure) => structure.flags.length);
  select(Math.max(0, first));
  if (page.readOnly) warn("This case is open for editing in another tab or browser; here it can only be read.");
  for (const view of views) view.draw();
  views[0].canvas.focus();
  performance.measure("open", "open");
  document.body.dataset.ready = String(number);
  drawScan({ scan: opened, window: page.window, isInstalled: isNiivueInstalled, show: (image, sentence) => useImage(opened, image, sentence) });
}

function useImage(opened, image, sentence) {
  console.info(sentence);
  if (page.case !== opened) return;
  page.image = image;
  element("drawing").textContent = sentence;
  document.body.dataset.drawing = image.name;
  draw();
}

async function leaveCase() {
  const left = page.case;
  if (!left) return;
  page.case = null;
  delete document.body.dataset.ready;
  delete document.body.dataset.drawing;
  element("case").hidden = true;
  warn(null);
  await left.reportViews(page.selected).catch(() => {});
  await post(`${left.path}/release`, { tab }).catch(() => {});
}

function middleOf(opened) {
  return opened.shape.map((size) => Math.floor(size / 2));
}

async function holdLease() {
  const opened = page.case;
  const known = opened.state.revision;
  const { writer, revision } = await post(`${opened.path}/lease`, { tab });
  const isBehind = !opened.waiting && known === opened.state.revision && revision !== known;
  if (isBehind) await opened.reload();
  return writer;
}

async function keepLease() {
  const opened = page.case;
  if (!opened) return;
  try {
    const isWriter = await holdLease();
    if (page.case !== opened) return;
    const wasReadOnly = page.readOnly;
    page.readOnly = !isWriter;
    if (wasReadOnly && !page.readOnly) warn(null);
    if (!wasReadOnly && page.readOnly) await loseLease();
    if (wasReadOnly !== page.readOnly) showAll();
  } catch (error) {
    if (page.case === opened) warn(error.message);
  }
}

async function loseLease() {
  page.readOnly = true;
  warn("This case is open for editing in another tab or browser; here it can only be read.");
  await page.case.reload().catch(() => {});
  showAll();
}

setInterval(keepLease, LEASE_MS);
window.addEventListener("pagehide", () => {
  if (!page.case) return;
  fetch(`${page.case.path}/release`, { method: "POST", keepalive: true, body: JSON.stringify({ tab }) });
});

// --- Moving through the scan ---------------------------------------------------------------------------------------

function activate(i) {
  page.active = i;
  showAll();
}

function moveTo(cursor) {
  const { shape, slice_axis: axis } = page.case;
  page.cursor = cursor.map((index, i) => Math.max(0, Math.min(shape[i] - 1, index)));
  for (const view of views) {
    view.polygon = [];
    if (view.stroke && view.stroke.index !== view.index) endStroke(view); // it was drawn on the slice that was shown
  }
  page.case.look(page.cursor[axis]);
  draw();
}

function step(view, slices) {
  const cursor = [...page.cursor];
  cursor[view.plane.axis] += slices;
  moveTo(cursor);
}

function jump(structure, position) {
  select(structure);
  moveTo([...position]);
}

function select(structure) {
  if (!page.case || structure < 0 || structure >= page.case.structures.length) return;
  if (structure !== page.selected) report();
  page.selected = structure;
  page.hidden.delete(structure);
  page.case.look(page.cursor[page.case.slice_axis]);
  showAll();
  updateMetrics();
}

function toggleHidden(structure) {
  if (!page.hidden.delete(structure)) page.hidden.add(structure);
  showAll();
}

function nextFlag(direction) {
  const flags = page.case.structures.flatMap((structure, i) => structure.flags.map((flag) => [i, flag.position]));
  if (!flags.length) return;
  page.flag = ((page.flag ?? (direction > 0 ? -1 : 0)) + direction + flags.length) % flags.length;
  jump(...flags[page.flag]);
}

function largestSlice() {
  const { shape, masks } = page.case;
  const mask = masks[page.selected];
  const size = shape[1] * shape[2];
  let [best, most] = [-1, 0];
  for (let z = 0; z < shape[0]; z++) {
    let count = 0;
    for (let i = z * size; i < (z + 1) * size; i++) count += mask[i];
    if (count > most) [best, most] = [z, count];
  }
  if (best >= 0) moveTo([best, page.cursor[1], page.cursor[2]]);
}

function report() {
  if (page.case && !page.readOnly) page.case.reportViews(page.selected).catch((error) => warn(error.message));
}

setInterval(report, PAUSE_MS);

function wheel(event, view) {
  event.preventDefault();
  if (event.ctrlKey) zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  else step(view, event.deltaY > 0 ? -1 : 1);
}

function zoom(factor) {
  page.zoom = Math.max(1, Math.min(20, page.zoom * factor));
  for (const view of views) view.centre();
  draw();
}

function setWindow(level, width) {
  page.window = { level, width: Math.max(1, width) };
  showAll();
}

// --- Pointer -------------------------------------------------------------------------------------------------------

function positionOf(event, view) {
  const box = view.canvas.getBoundingClientRect();
  const ratio = view.canvas.width / box.width;
  return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
}

function pointerDown(event, view, i) {
  if (!page.case) return;
  activate(i);
  view.canvas.focus({ preventScroll: true });
  if (event.isTrusted) view.canvas.setPointerCapture(event.pointerId);
  view.pointer = positionOf(event, view);
  const at = view.toVoxels(...view.pointer);
  if (event.button === 1) view.drag = "pan";
  else if (event.button === 2) view.drag = "window";
  else if (page.tool === "look" || page.readOnly) {
    view.drag = "cross";
    lookAt(view, at);
  } else if (page.tool === "brush" || page.tool === "eraser") beginStroke(view, at);
  else if (page.tool === "polygon") {
    view.polygon.push(at);
    draw();
  } else if (page.tool === "fill") fill(view, at);
}

function pointerMove(event, view) {
  if (!page.case) return;
  const before = view.pointer;
  for (const moved of event.getCoalescedEvents?.() ?? [event]) {
    view.pointer = positionOf(moved, view);
    if (view.stroke) continueStroke(view, view.toVoxels(...view.pointer));
  }
  view.pointer = positionOf(event, view);
  const [dx, dy] = before ? [view.pointer[0] - before[0], view.pointer[1] - before[1]] : [0, 0];
  if (view.drag === "cross") lookAt(view, view.toVoxels(...view.pointer));
  else if (view.drag === "pan") {
    const { scale } = view.layout;
    view.pan = [view.pan[0] + dx / scale, view.pan[1] + dy / scale];
  } else if (view.drag === "window") setWindow(page.window.level + dy, page.window.width + 2 * dx);
  view.draw();
}

function pointerUp(event, view) {
  view.drag = null;
  if (view.stroke) endStroke(view);
}

function lookAt(view, [column, row]) {
  const cursor = [...page.cursor];
  cursor[view.plane.rowAxis] = Math.floor(row);
  cursor[view.plane.columnAxis] = Math.floor(column);
  moveTo(cursor);
}

// --- Changing contours ---------------------------------------------------------------------------------------------

function presentPlane(view) {
  return page.case.plane(page.selected, view.plane, view.index);
}

function beginStroke(view, at) {
  view.stroke = new Stroke(page.case, page.selected, view.plane, view.index, page.tool);
  continueStroke(view, at);
  view.draw();
}

function continueStroke(view, at) {
  const { rowMm, columnMm } = view.layout;
  view.stroke.continueTo(at, page.size, [rowMm, columnMm]);
}

function endStroke(view) {
  const { stroke } = view;
  view.stroke = null;
  if (stroke.isOf(page.case)) commit(view, stroke.structure, stroke.index, stroke.after, stroke.tool);
  else {
    if (stroke.opened === page.case && !page.readOnly) warn(LOADED_AGAIN);
    view.draw();
  }
}

function abandon(view) {
  view.stroke = view.drag = null;
  view.draw();
}

function commit(view, structure, index, after, tool) {
  return attempt(() => page.case.commit(structure, view.plane, index, after, tool).then(() => updateMetrics()));
}

function endPolygon(view, removes) {
  if (view.polygon.length < 3) {
    view.polygon = [];
    return draw();
  }
  const after = presentPlane(view);
  paintPolygon(after, view.grid.rows, view.grid.columns, view.polygon, removes ? 0 : 1);
  view.polygon = [];
  return commit(view, page.selected, view.index, after, "polygon");
}

function fill(view, [column, row]) {
  const after = presentPlane(view);
  const [r, c] = [Math.floor(row), Math.floor(column)];
  const { rows, columns } = view.grid;
  if (r < 0 || c < 0 || r >= rows || c >= columns) return null;
  if (!fillRegion(after, rows, columns, r, c)) {
    warn("The region is open towards the edge of the scan; close the outline first.");
    return null;
  }
  return commit(view, page.selected, view.index, after, "fill");
}

function copyFrom(offset) {
  const view = views[page.active];
  const source = view.index + offset;
  if (source < 0 || source >= page.case.shape[view.plane.axis]) return null;
  const after = page.case.plane(page.selected, view.plane, source);
  return commit(view, page.selected, view.index, after, "copy");
}

async function interpolate() {
  const view = views[page.active];
  const body = { structure: page.case.structures[page.selected].id, axis: view.plane.axis, index: view.index };
  await attempt(() => page.case.act("interpolate", body, true));
}

async function stepBack(name) {
  const opened = page.case;
  const answer = await attempt(() => opened.act(name, {}, true));
  if (!answer || page.case !== opened) return;
  const patch = answer.patches[Math.floor(answer.patches.length / 2)];
  const cursor = [...page.cursor];
  cursor[patch.axis] = patch.index;
  if (answer.changed !== page.selected) select(answer.changed);
  if (!answer.patches.some((p) => p.axis === patch.axis && p.index === page.cursor[patch.axis])) moveTo(cursor);
}

async function accept(structure) {
  if (page.readOnly) return;
  const opened = page.case;
  const chosen = opened.structures[structure];
  const accepted = !opened.state.structures[structure].accepted;
  await attempt(async () => {
    await opened.reportViews(page.selected);
    const answer = await opened.act("accept", { structure: chosen.id, accepted, sure: false });
    if (answer.ask === null) return;
    const share = Math.round(100 * answer.ask);
    const sure = await ask(`Only ${share} % of the slices of ${chosen.name} were viewed. Accept it all the same?`, "Accept");
    if (sure) await opened.act("accept", { structure: chosen.id, accepted, sure: true });
  });
}

async function write() {
  if (page.readOnly) return;
  const opened = page.case;
  await attempt(async () => {
    await opened.reportViews(page.selected);
    const answer = await opened.act("write", {});
    await showCorrection(answer, opened);
  });
}

// --- Dose and references -------------------------------------------------------------------------------------------

async function toggle(name) {
  const opened = page.case;
  page.show[name] = !page.show[name];
  await attempt(async () => {
    if (page.show.reference) await opened.showReferences();
    if (page.show.automatic) await opened.showAutomatic();
    if (page.show.dose) await opened.loadDose();
  });
  showAll();
  showIsodoses();
  updateMetrics();
}

function showIsodoses() {
  element("isodoses").value = page.isodoses.join(", ");
  element("isodose-legend").replaceChildren(...page.isodoses.map((level, i) => {
    const item = document.createElement("li");
    const swatch = document.createElement("i");
    swatch.style.background = `rgb(${isodoseColour(i)})`;
    item.append(swatch, `${level} Gy`);
    return item;
  }));
}

element("isodoses").addEventListener("change", (event) => {
  const levels = parseIsodoses(event.target.value);
  if (levels) page.isodoses = levels;
  else warn("Isodoses are positive doses in Gy, separated by commas.");
  showIsodoses();
  draw();
});

let metricsWanted = 0;
async function updateMetrics() {
  if (!page.case?.dose_shape || !page.show.dose) return;
  const opened = page.case;
  const wanted = ++metricsWanted;
  await new Promise((resume) => setTimeout(resume, 80));
  const isLeft = () => wanted !== metricsWanted || page.case !== opened;
  if (isLeft()) return;
  const structure = page.selected;
  try {
    await opened.queue;
    const answer = await get(`${opened.path}/metrics/${structure}`);
    if (isLeft()) return;
    const table = element("dose-metrics");
    table.caption.textContent = opened.structures[structure].name;
    const text = (value, sign = false) => (value === null ? "–" : `${sign && value > 0 ? "+" : ""}${value.toFixed(2)}`);
    table.tBodies[0].replaceChildren(...answer.metrics.map((metric) => {
      const row = document.createElement("tr");
      const cells = [metric.metric, text(metric.before_gy), text(metric.after_gy), text(metric.difference_gy, true)];
      row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
      row.title = metric.note;
      return row;
    }));
    drawHistogram(element("dvh"), answer);
  } catch (error) {
    warn(error.message);
  }
}

// --- Buttons and keys ----------------------------------------------------------------------------------------------

function addButtons(parent, entries, act) {
  for (const [name, title, key, help] of entries) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: title, title: `${help} (${key})` });
    button.dataset.name = name;
    button.addEventListener("click", () => act(name));
    element(parent).append(button);
  }
}

function setTool(name) {
  page.tool = name;
  for (const view of views) view.polygon = [];
  showAll();
}

const ACT = {
  interpolate,
  "copy-lower": () => copyFrom(-1),
  "copy-upper": () => copyFrom(1),
  undo: () => stepBack("undo"),
  redo: () => stepBack("redo"),
};

addButtons("tool-buttons", TOOLS, setTool);
addButtons("action-buttons", ACTIONS, (name) => ACT[name]());
addButtons("show-buttons", SHOW, toggle);
for (const [i, { name }] of WINDOWS.entries()) element("window").append(new Option(name, String(i)));
element("window").append(Object.assign(new Option("Own", ""), { hidden: true }));
element("window").addEventListener("change", (event) => {
  const chosen = WINDOWS[Number(event.target.value)];
  if (chosen) setWindow(chosen.level, chosen.width);
});
element("size").addEventListener("input", (event) => { page.size = Number(event.target.value); showAll(); });
element("write").addEventListener("click", write);
element("help").addEventListener("click", () => showKeys(TOOLS, ACTIONS, SHOW));
element("to-worklist").addEventListener("click", () => { location.hash = ""; });

const KEYS = {
  ArrowUp: (view) => step(view, 1),
  ArrowDown: (view) => step(view, -1),
  PageUp: (view) => step(view, 10),
  PageDown: (view) => step(view, -10),
  Home: (view) => step(view, -1e6),
  End: (view) => step(view, 1e6),
  ArrowRight: () => views[(page.active + 1) % views.length].canvas.focus(),
  ArrowLeft: () => views[(page.active + views.length - 1) % views.length].canvas.focus(),
  v: () => setTool("look"),
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  p: () => setTool("polygon"),
  f: () => setTool("fill"),
  i: interpolate,
  c: () => copyFrom(-1),
  C: () => copyFrom(1),
  a: () => accept(page.selected),
  h: () => toggleHidden(page.selected),
  g: largestSlice,
  n: () => nextFlag(1),
  N: () => nextFlag(-1),
  o: () => toggle("fill"),
  t: () => toggle("automatic"),
  r: () => toggle("reference"),
  d: () => page.case.dose_shape && toggle("dose"),
  w: () => {
    const next = WINDOWS[(Number(element("window").value || -1) + 1) % WINDOWS.length];
    setWindow(next.level, next.width);
  },
  "[": () => { page.size = Math.max(1, page.size - 1); showAll(); },
  "]": () => { page.size = Math.min(40, page.size + 1); showAll(); },
  "+": () => zoom(1.15),
  "-": () => zoom(1 / 1.15),
  Enter: (view, event) => view.polygon.length && endPolygon(view, event.shiftKey),
  Escape: (view) => { view.polygon = []; abandon(view); },
  "?": () => showKeys(TOOLS, ACTIONS, SHOW),
};

document.addEventListener("keydown", (event) => {
  if (!page.case || element("dialog").open || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  const view = views[page.active];
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    const act = { z: event.shiftKey ? ACT.redo : ACT.undo, y: ACT.redo, s: write }[key];
    if (!act) return;
    event.preventDefault();
    if (!page.readOnly) act();
    return;
  }
  if (event.altKey) return;
  if (/^[1-9]$/.test(event.key)) return select(Number(event.key) - 1);
  if (event.key === "Enter" && event.target.tagName === "BUTTON") return;
  const act = KEYS[event.key];
  const changes = ["i", "c", "C"].includes(event.key);
  if (!act || (changes && page.readOnly)) return;
  event.preventDefault();
  act(view, event);
});

let visits = 0;
async function start() {
  const visit = ++visits;
  const isLeft = () => visit !== visits;
  const match = /^#case=(\d+)$/.exec(location.hash);
  if (!match) return showWorklist(isLeft);
  await getWorklist();
  return isLeft() ? null : openCase(Number(match[1]), isLeft);
}

window.addEventListener("hashchange", () => attempt(start));
showIsodoses();
attempt(start);

// For tests, pictures and the benchmark.
globalThis.gynbtnetReview = {
  page,
  views,
  pixelOf(planeName, voxel) {
    const view = views.find((other) => other.plane.name === planeName);
    const box = view.canvas.getBoundingClientRect();
    const ratio = view.canvas.width / box.width;
    const [x, y] = view.toPixels(voxel[view.plane.columnAxis] + 0.5, voxel[view.plane.rowAxis] + 0.5);
    return [box.left + x / ratio, box.top + y / ratio];
  },
  moveTo,
  settled: () => page.case.queue.then(() => page.case.waiting),
};
