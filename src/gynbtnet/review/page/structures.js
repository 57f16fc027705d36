// The list of structures: pattern and colour, volume, predicted DSC, flags, state.

import { DASHES } from "./viewer.js";

const SVG = "http://www.w3.org/2000/svg";

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function swatch(structure, i) {
  const picture = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of [["width", 34], ["height", 12], ["aria-hidden", "true"]]) picture.setAttribute(name, value);
  const values = { x1: 1, y1: 6, x2: 33, y2: 6, stroke: `rgb(${structure.colour})`, "stroke-width": 3, "stroke-dasharray": DASHES[i % DASHES.length].join(" ") };
  for (const [name, value] of Object.entries(values)) line.setAttribute(name, value);
  picture.append(line);
  return picture;
}

export function showStructures(list, page, act) {
  const { structures, state } = page.case;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  list.replaceChildren(...structures.map((structure, i) => {
    const { volume_cm3: volume, edited, accepted, viewed } = state.structures[i];
    const item = make("li", i === page.selected ? "selected" : "");
    const row = make("div", "row");
    const name = make("button", "name", structure.name);
    Object.assign(name, { type: "button", title: `Select (${i + 1})` });
    name.dataset.focus = `name ${i}`;
    name.setAttribute("aria-pressed", String(i === page.selected));
    name.addEventListener("click", () => act.select(i));
    const eye = make("button", "", page.hidden.has(i) ? "Show" : "Hide");
    eye.type = "button";
    eye.dataset.focus = `eye ${i}`;
    eye.setAttribute("aria-label", `${eye.textContent} ${structure.name}`);
    eye.addEventListener("click", () => act.toggleHidden(i));
    row.append(make("span", "key", String(i + 1)), swatch(structure, i), name, eye);
    const predicted = structure.predicted_dsc;
    const dsc = predicted ? `predicted DSC ${predicted.dsc.toFixed(2)} (${predicted.low.toFixed(2)}–${predicted.high.toFixed(2)})` : "DSC not predicted";
    const facts = make("div", "facts", `${volume.toFixed(volume < 10 ? 2 : 1)} cm³ · ${dsc}`);
    const flags = structure.flags.map((flag, j) => {
      const button = make("button", "flag", `⚑ ${flag.sentence}`);
      button.type = "button";
      button.title = "Go to the slice";
      button.dataset.focus = `flag ${i} ${j}`;
      button.addEventListener("click", () => act.jump(i, flag.position));
      return button;
    });
    const below = make("div", "row");
    const words = [accepted ? "accepted" : "to be reviewed", ...(edited ? ["edited"] : []), `${Math.round(100 * viewed)} % viewed`];
    const status = make("span", "state", words.join(" · "));
    const button = make("button", "accept", accepted ? "Withdraw" : "Accept");
    Object.assign(button, { type: "button", title: "A", disabled: page.readOnly });
    button.dataset.focus = `accept ${i}`;
    button.setAttribute("aria-label", `${button.textContent} ${structure.name}`);
    button.addEventListener("click", () => act.accept(i));
    below.append(status, button);
    item.append(row, facts, ...flags, below);
    return item;
  }));
  if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
}
