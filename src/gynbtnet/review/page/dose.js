// The dose as a wash with isodose lines, and the dose-volume histogram.

import { planeGrid, readPlane } from "./planes.js";
import { traceOutlines } from "./outlines.js";

const COLOURS = [[68, 119, 170], [102, 204, 238], [34, 136, 51], [204, 187, 68], [238, 102, 119], [170, 51, 119], [255, 255, 255]];

export function isodoseColour(i) {
  return COLOURS[Math.min(i, COLOURS.length - 1)];
}

export function parseIsodoses(text) {
  const levels = text.split(/[\s,;]+/).filter(Boolean).map(Number);
  return levels.length && levels.every((level) => level > 0 && level < 1e5) ? [...new Set(levels)].sort((a, b) => a - b) : null;
}

// Dose of the voxels of a plane, interpolated linearly from the coarser dose grid of the same extent.
export function dosePlane(dose, doseShape, shape, plane, index) {
  const position = (i, axis) => {
    const at = Math.max(0, Math.min(doseShape[axis] - 1, ((i + 0.5) * doseShape[axis]) / shape[axis] - 0.5));
    const low = Math.min(Math.floor(at), Math.max(0, doseShape[axis] - 2));
    return [low, at - low];
  };
  const [low, share] = position(index, plane.axis);
  const grid = planeGrid(doseShape, plane, low);
  const lower = readPlane(dose, grid);
  const upper = share ? readPlane(dose, planeGrid(doseShape, plane, low + 1)) : lower;
  const [rows, columns] = [shape[plane.rowAxis], shape[plane.columnAxis]];
  const values = new Float32Array(rows * columns);
  const across = Array.from({ length: columns }, (_, column) => position(column, plane.columnAxis));
  for (let row = 0, i = 0; row < rows; row++) {
    const [r, t] = position(row, plane.rowAxis);
    const below = Math.min(r + 1, grid.rows - 1) * grid.columns;
    for (let column = 0; column < columns; column++, i++) {
      const [c, u] = across[column];
      const right = Math.min(c + 1, grid.columns - 1);
      const at = (source) =>
        (1 - t) * ((1 - u) * source[r * grid.columns + c] + u * source[r * grid.columns + right]) +
        t * ((1 - u) * source[below + c] + u * source[below + right]);
      values[i] = share ? (1 - share) * at(lower) + share * at(upper) : at(lower);
    }
  }
  return values;
}

export function washAndLines(values, rows, columns, levels) {
  const pixels = new ImageData(columns, rows);
  const reached = new Int8Array(values.length).fill(-1);
  for (let i = 0; i < values.length; i++) {
    for (let level = 0; level < levels.length && values[i] >= levels[level]; level++) reached[i] = level;
    if (reached[i] < 0) continue;
    const [red, green, blue] = isodoseColour(reached[i]);
    pixels.data.set([red, green, blue, 70], 4 * i);
  }
  const lines = levels.map((_, level) => traceOutlines(reached.map((value) => (value >= level ? 1 : 0)), rows, columns));
  return { pixels, lines };
}

export function drawHistogram(canvas, histogram) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const [left, bottom] = [26, 16];
  context.clearRect(0, 0, width, height);
  context.strokeStyle = context.fillStyle = "#a9b0ba";
  context.font = "10px system-ui, sans-serif";
  const highest = histogram.dose_gy[histogram.dose_gy.length - 1] || 1;
  const x = (dose) => left + ((width - left - 6) * dose) / highest;
  const y = (share) => 4 + (height - bottom - 4) * (1 - share);
  context.lineWidth = 1;
  context.strokeRect(left, 4, width - left - 6, height - bottom - 4);
  context.fillText("100 %", 0, 12);
  context.fillText("0", left - 8, height - bottom);
  context.fillText(`${highest.toPrecision(3)} Gy`, width - 46, height - 3);
  for (const [name, dash] of [["before", [3, 3]], ["after", []]]) {
    context.setLineDash(dash);
    context.strokeStyle = name === "after" ? "#fff" : "#8ab4f8";
    context.beginPath();
    histogram[name].forEach((share, i) => context.lineTo(x(histogram.dose_gy[i]), y(share)));
    context.stroke();
  }
  context.setLineDash([]);
}
