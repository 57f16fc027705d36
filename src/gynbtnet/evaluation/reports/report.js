"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a heading sorts by its column, a second click reverses the order. Cells sort by their first number;
// cells without a number stay at the end, as does the emphasised row.
const key = (row, column) => {
  const text = row.cells[column].textContent.trim().replace("−", "-");
  const number = parseFloat(text.replace(/^[≤>]\s*/, ""));
  return Number.isNaN(number) ? text : number;
};
const compare = (a, b) =>
  typeof a === typeof b ? (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true })) : 0;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const atEnd = (row) => (row.classList.contains("whole") ? 2 : /^[–-]?$/.test(row.cells[column].textContent.trim()) ? 1 : 0);
      rows.sort((a, b) => atEnd(a) - atEnd(b) || (down ? -1 : 1) * compare(key(a, column), key(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

// The viewer: each plane has a slider, which the mouse wheel moves too. A check box hides the elements with its number.
for (const viewer of document.querySelectorAll(".viewer")) {
  const data = JSON.parse(viewer.querySelector("script").textContent);
  viewer.querySelectorAll(".plane").forEach((plane, number) => {
    const { images, labels, paths } = data[number];
    const [slider, output, image] = ["input", "output", "image"].map((name) => plane.querySelector(name));
    const show = (index) => {
      image.setAttribute("href", "data:image/webp;base64," + images[index]);
      for (const [id, slices] of Object.entries(paths)) document.getElementById(id).setAttribute("d", slices[index]);
      output.textContent = labels[index];
      slider.setAttribute("aria-valuetext", labels[index]);
    };
    const first = slider.defaultValue;
    slider.value = first; // a browser may remember an earlier position
    slider.addEventListener("input", () => show(slider.value));
    let distance = 0;
    plane.querySelector("svg").addEventListener("wheel", (event) => {
      if (event.ctrlKey) return; // the browser's own zoom
      event.preventDefault();
      distance += event.deltaMode ? 40 * Math.sign(event.deltaY) : event.deltaY;
      const steps = Math.trunc(distance / 40);
      if (!steps) return;
      distance -= 40 * steps;
      slider.value = Number(slider.value) - Math.max(-3, Math.min(3, steps));
      show(slider.value);
    }, { passive: false });
    window.addEventListener("beforeprint", () => show(first));
    window.addEventListener("afterprint", () => show(slider.value));
  });
  for (const box of viewer.querySelectorAll("input[type=checkbox]")) {
    const [[kind, number]] = Object.entries(box.dataset);
    const update = () => {
      for (const element of viewer.querySelectorAll(`svg [data-${kind}="${number}"]`)) element.classList.toggle("off", !box.checked);
    };
    box.addEventListener("change", update);
    update(); // a browser may remember earlier check marks
  }
}

// On paper all details are open.
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const element of closed) element.open = true;
});
window.addEventListener("afterprint", () => {
  for (const element of closed) element.open = false;
});
