"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a head sorts by it, a second one the other way round. Numbers sort by the first number of a cell,
// what is none stays at the end, as does the row of the whole.
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
      const apart = (row) => (row.classList.contains("whole") ? 2 : /^[–-]?$/.test(row.cells[column].textContent.trim()) ? 1 : 0);
      rows.sort((a, b) => apart(a) - apart(b) || (down ? -1 : 1) * compare(key(a, column), key(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

// The viewer: each plane has a slider; the wheel turns it too. A switch hides what bears its number.
for (const viewer of document.querySelectorAll(".viewer")) {
  const data = JSON.parse(viewer.querySelector("script").textContent);
  viewer.querySelectorAll(".plane").forEach((plane, number) => {
    const { images, where, paths } = data[number];
    const [slider, said, image] = ["input", "output", "image"].map((name) => plane.querySelector(name));
    const show = (place) => {
      image.setAttribute("href", "data:image/webp;base64," + images[place]);
      for (const [id, drawn] of Object.entries(paths)) document.getElementById(id).setAttribute("d", drawn[place]);
      said.textContent = where[place];
      slider.setAttribute("aria-valuetext", where[place]);
    };
    const first = slider.defaultValue;
    slider.value = first; // a browser may remember where it was
    slider.addEventListener("input", () => show(slider.value));
    let turned = 0;
    plane.querySelector("svg").addEventListener("wheel", (event) => {
      if (event.ctrlKey) return; // the browser's own zoom
      event.preventDefault();
      turned += event.deltaMode ? 40 * Math.sign(event.deltaY) : event.deltaY;
      const steps = Math.trunc(turned / 40);
      if (!steps) return;
      turned -= 40 * steps;
      slider.value = Number(slider.value) - Math.max(-3, Math.min(3, steps));
      show(slider.value);
    }, { passive: false });
    window.addEventListener("beforeprint", () => show(first));
    window.addEventListener("afterprint", () => show(slider.value));
  });
  for (const box of viewer.querySelectorAll("input[type=checkbox]")) {
    const [[kind, number]] = Object.entries(box.dataset);
    const switched = () => {
      for (const one of viewer.querySelectorAll(`svg [data-${kind}="${number}"]`)) one.classList.toggle("off", !box.checked);
    };
    box.addEventListener("change", switched);
    switched(); // a browser may remember what was ticked before
  }
}

// On paper everything is open.
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const one of closed) one.open = true;
});
window.addEventListener("afterprint", () => {
  for (const one of closed) one.open = false;
});
