"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a heading sorts by its column, a second click reverses the order. Cells sort by their first number;
// cells without a number stay at the end, as does the emphasised row.
const key = (row, column) => {
  const text = row.cells[column].textContent.trim().replace("−", "-");
  const number = parseFloat(text.replace(/^[≤≥<>]\s*/, ""));
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

// Tables wider than their place get a hint that they scroll.
const hinted = [...document.querySelectorAll(".wide")].map((wide) => {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "This table scrolls sideways: more columns at the right →";
  wide.before(hint);
  return [wide, hint];
});
const updateHints = () => {
  for (const [wide, hint] of hinted) {
    const scrolls = wide.clientWidth > 0 && wide.scrollWidth > wide.clientWidth + 1;
    hint.classList.toggle("shown", scrolls);
    wide.classList.toggle("scrolls", scrolls);
  }
};
window.addEventListener("resize", updateHints);
for (const element of document.querySelectorAll("details")) element.addEventListener("toggle", updateHints);
updateHints();

// The viewer: each plane has a slider, which the mouse wheel moves too. A click into a plane moves the other two to this
// point. A check box hides the elements with its number.
const UNITS_PER_MM = 4;
for (const viewer of document.querySelectorAll(".viewer")) {
  let parsed;
  const data = () => (parsed ??= JSON.parse(viewer.querySelector("script").textContent));
  const planes = [...viewer.querySelectorAll(".plane")].map((plane, number) => {
    const [svg, slider, output, image] = ["svg", "input", "output", "image"].map((name) => plane.querySelector(name));
    const first = slider.defaultValue;
    slider.value = first; // a browser may remember an earlier position
    const { width, height } = svg.viewBox.baseVal;
    return { number, plane, svg, slider, output, image, first, width, height, lines: [...svg.querySelectorAll(".cross path")] };
  });
  const [axial, coronal, sagittal] = planes;
  const depth = (plane) => data()[plane.number].depths[plane.slider.value] * UNITS_PER_MM;
  const cross = () => {
    const [z, y, x] = planes.map(depth);
    for (const [plane, across, down] of [[axial, x, y], [coronal, x, coronal.height - z], [sagittal, y, sagittal.height - z]]) {
      plane.lines[0].setAttribute("d", `M${across} 0V${plane.height}`);
      plane.lines[1].setAttribute("d", `M0 ${down}H${plane.width}`);
    }
  };
  const show = (plane, index) => {
    const { images, labels, paths } = data()[plane.number];
    plane.image.setAttribute("href", "data:image/webp;base64," + images[index]);
    for (const [id, slices] of Object.entries(paths)) document.getElementById(id).setAttribute("d", slices[index]);
    plane.output.textContent = labels[index];
    plane.slider.setAttribute("aria-valuetext", labels[index]);
  };
  const move = (plane, index) => {
    plane.slider.value = index;
    show(plane, plane.slider.value);
    cross();
  };
  const moveTo = (plane, millimetres) => {
    const distances = data()[plane.number].depths.map((position) => Math.abs(position - millimetres));
    const index = distances.indexOf(Math.min(...distances));
    if (index !== Number(plane.slider.value)) move(plane, index);
  };
  const link = (plane, event) => {
    const box = plane.svg.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * plane.width / UNITS_PER_MM;
    const down = ((event.clientY - box.top) / box.height) * plane.height / UNITS_PER_MM;
    if (plane !== sagittal) moveTo(sagittal, across);
    if (plane === sagittal) moveTo(coronal, across);
    if (plane === axial) moveTo(coronal, down);
    if (plane !== axial) moveTo(axial, plane.height / UNITS_PER_MM - down);
  };
  for (const plane of planes) {
    const { svg, slider, first } = plane;
    slider.addEventListener("input", () => move(plane, slider.value));
    svg.addEventListener("pointerdown", (event) => link(plane, event));
    svg.addEventListener("pointermove", (event) => event.buttons === 1 && event.pointerType === "mouse" && link(plane, event));
    let distance = 0;
    svg.addEventListener("wheel", (event) => {
      if (event.ctrlKey) return; // the browser's own zoom
      event.preventDefault();
      distance += event.deltaMode ? 40 * Math.sign(event.deltaY) : event.deltaY;
      const steps = Math.trunc(distance / 40);
      if (!steps) return;
      distance -= 40 * steps;
      move(plane, Number(slider.value) - Math.max(-3, Math.min(3, steps)));
    }, { passive: false });
    window.addEventListener("beforeprint", () => slider.value !== first && show(plane, first));
    window.addEventListener("afterprint", () => slider.value !== first && show(plane, slider.value));
  }
  for (const box of viewer.querySelectorAll("input[type=checkbox]")) {
    const [[kind, number]] = Object.entries(box.dataset);
    const update = () => {
      for (const element of viewer.querySelectorAll(`svg [data-${kind}="${number}"]`)) element.classList.toggle("off", !box.checked);
    };
    box.addEventListener("change", update);
    update(); // a browser may remember earlier check marks
  }
  for (const radio of viewer.querySelectorAll("input[type=radio]")) {
    const update = () => {
      if (!radio.checked) return;
      for (const image of viewer.querySelectorAll("image")) image.setAttribute("filter", "url(#window-" + radio.value + ")");
    };
    radio.addEventListener("change", update);
    update();
  }
}
