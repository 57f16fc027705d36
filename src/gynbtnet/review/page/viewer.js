// One plane: the scan and its dose on one canvas; outlines, cross and the tool's cursor on a transparent one above it, so
// that a stroke doesn't wait for the scan.

import { dosePlane, isodoseColour, washAndLines } from "./dose.js";
import { traceOutlines } from "./outlines.js";
import { planeGrid, readPlane } from "./planes.js";

export const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [14, 5], [5, 2, 1, 2, 1, 2], [1, 5], [12, 3, 5, 3], [3, 2]];

export class View {
  constructor(element, canvas, caption, plane, page) {
    Object.assign(this, { element, canvas, caption, plane, page });
    this.context = canvas.getContext("2d");
    this.scan = document.createElement("canvas").getContext("2d", { alpha: false });
    element.prepend(this.scan.canvas);
    this.wash = document.createElement("canvas");
    this.outlines = new Map();
    this.pan = [0, 0];
    this.pointer = null;
    this.polygon = [];
    this.stroke = null;
    new ResizeObserver(() => this.draw()).observe(element);
  }

  reset() {
    this.outlines.clear();
    this.scanKey = this.washKey = null;
    this.pan = [0, 0];
    this.polygon = [];
    this.stroke = null;
  }

  get index() {
    return this.page.cursor[this.plane.axis];
  }

  get grid() {
    return planeGrid(this.page.case.shape, this.plane, this.index);
  }

  // Pixels per voxel, and the position of the plane's first edge in pixels of the canvas.
  get layout() {
    const { spacing } = this.page.case;
    const { rows, columns } = this.grid;
    const [rowMm, columnMm] = [spacing[this.plane.rowAxis], spacing[this.plane.columnAxis]];
    const fit = Math.min(this.canvas.width / (columns * columnMm), this.canvas.height / (rows * rowMm));
    const scale = fit * this.page.zoom;
    const [width, height] = [columnMm * scale, rowMm * scale];
    const left = this.canvas.width / 2 - (columns * width) / 2 + this.pan[0] * scale;
    const top = this.canvas.height / 2 - (rows * height) / 2 + this.pan[1] * scale;
    return { left, top, width, height, rows, columns, scale, rowMm, columnMm };
  }

  // Bring the cross to the middle; without zoom, the whole plane.
  centre() {
    const { rows, columns, rowMm, columnMm } = this.layout;
    const { cursor, zoom } = this.page;
    const down = (rows / 2 - cursor[this.plane.rowAxis] - 0.5) * rowMm;
    const across = (columns / 2 - cursor[this.plane.columnAxis] - 0.5) * columnMm;
    this.pan = zoom > 1 ? [across, this.plane.upwards ? -down : down] : [0, 0];
  }

  // From voxels (column, row), with fractions, to pixels of the canvas, and back.
  toPixels(column, row) {
    const { left, top, width, height, rows } = this.layout;
    return [left + column * width, top + (this.plane.upwards ? rows - row : row) * height];
  }

  toVoxels(x, y) {
    const { left, top, width, height, rows } = this.layout;
    const row = (y - top) / height;
    return [(x - left) / width, this.plane.upwards ? rows - row : row];
  }

  draw() {
    if (!this.page.case || !this.element.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.element.clientWidth * ratio), Math.round(this.element.clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.drawScan();
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.drawStructures();
    this.drawCross(ratio);
    this.drawTool(ratio);
    this.drawEdges(ratio);
    const { shape } = this.page.case;
    this.caption.textContent = `${this.plane.name} ${this.index + 1} / ${shape[this.plane.axis]}`;
  }

  // Let a context draw in voxels of the plane.
  place(context) {
    const { left, top, width, height, rows } = this.layout;
    if (this.plane.upwards) context.setTransform(width, 0, 0, -height, left, top + rows * height);
    else context.setTransform(width, 0, 0, height, left, top);
  }

  // The scan changes less often than what is above it.
  drawScan() {
    const { case: shown, image, window, zoom, show, isodoses } = this.page;
    const { width, height } = this.canvas;
    const isDoseShown = show.dose && Boolean(shown.dose);
    const place = [width, height, zoom, ...this.pan];
    const key = [shown.path, image.name, this.index, window.level, window.width, ...place, isDoseShown, ...isodoses].join();
    if (key === this.scanKey) return;
    this.scanKey = key;
    const context = this.scan;
    if (context.canvas.width !== width || context.canvas.height !== height) Object.assign(context.canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    image.draw(this, context);
    if (isDoseShown) this.drawDose(context);
  }

  drawDose(context) {
    const { case: shown, isodoses } = this.page;
    const { rows, columns } = this.grid;
    const key = [this.index, isodoses.join(), shown.path].join();
    if (key !== this.washKey) {
      this.washKey = key;
      const values = dosePlane(shown.dose, shown.dose_shape, shown.shape, this.plane, this.index);
      const { pixels, lines } = washAndLines(values, rows, columns, isodoses);
      Object.assign(this.wash, { width: columns, height: rows });
      this.wash.getContext("2d").putImageData(pixels, 0, 0);
      this.isodoseLines = lines.map(pathOf);
    }
    this.place(context);
    context.drawImage(this.wash, 0, 0);
    this.isodoseLines.forEach((path, i) => strokePath(context, path, `rgb(${isodoseColour(i)})`, 0.8, []));
  }

  drawStructures() {
    const { case: shown, show, selected, hidden } = this.page;
    shown.structures.forEach((structure, i) => {
      if (hidden.has(i)) return;
      this.place(this.context);
      const colour = `rgb(${structure.colour})`;
      const outline = this.outlineOf(shown.masks[i], `${i}`, shown.versions[i], this.stroke?.structure === i ? this.stroke.after : null);
      if (i === selected && show.fill) {
        this.context.fillStyle = `rgba(${structure.colour},0.16)`;
        this.context.fill(outline.path, "evenodd");
      }
      if (show.reference && shown.references[i]) {
        strokePath(this.context, this.outlineOf(shown.references[i], `reference ${i}`, 0).path, "#fff", 1.2, [1, 3]);
      }
      if (show.automatic && shown.automatic[i]) {
        strokePath(this.context, this.outlineOf(shown.automatic[i], `automatic ${i}`, 0).path, "#9ad", 1, [4, 4]);
      }
      strokePath(this.context, outline.path, colour, i === selected ? 2.4 : 1.6, DASHES[i % DASHES.length]);
      if (outline.top) this.label(`${i + 1}`, outline.top, colour);
    });
  }

  label(text, [column, row], colour) {
    const [x, y] = this.toPixels(column, row);
    const ratio = window.devicePixelRatio || 1;
    const context = this.context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `bold ${12 * ratio}px system-ui, sans-serif`;
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "#000";
    context.strokeText(text, x + 2 * ratio, y - 3 * ratio);
    context.fillStyle = colour;
    context.fillText(text, x + 2 * ratio, y - 3 * ratio);
  }

  outlineOf(mask, name, version, plane = null) {
    const key = `${this.index} ${version}`;
    const known = this.outlines.get(name);
    if (!plane && known && known.key === key && known.mask === mask) return known;
    const { rows, columns } = this.grid;
    const polygons = traceOutlines(plane ?? readPlane(mask, this.grid), rows, columns);
    let top = null;
    for (const [column, row] of polygons.flat()) {
      if (!top || (this.plane.upwards ? row > top[1] : row < top[1])) top = [column, row];
    }
    const outline = { key: plane ? "" : key, mask, path: pathOf(polygons), top };
    this.outlines.set(name, outline);
    return outline;
  }

  drawCross(ratio) {
    const { cursor } = this.page;
    const [x, y] = this.toPixels(cursor[this.plane.columnAxis] + 0.5, cursor[this.plane.rowAxis] + 0.5);
    const context = this.context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.strokeStyle = "#7cf8";
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.canvas.height);
    context.moveTo(0, y);
    context.lineTo(this.canvas.width, y);
    context.stroke();
  }

  drawTool(ratio) {
    const context = this.context;
    const { tool, size } = this.page;
    if (this.pointer && (tool === "brush" || tool === "eraser") && !this.page.readOnly) {
      context.strokeStyle = "#fff";
      context.lineWidth = ratio;
      context.setLineDash(tool === "eraser" ? [4 * ratio, 3 * ratio] : []);
      context.beginPath();
      context.arc(...this.pointer, size * this.layout.scale, 0, 2 * Math.PI);
      context.stroke();
      context.setLineDash([]);
    }
    if (this.polygon.length) {
      context.strokeStyle = context.fillStyle = "#fff";
      context.lineWidth = 1.5 * ratio;
      context.beginPath();
      for (const point of this.polygon) context.lineTo(...this.toPixels(...point));
      if (this.pointer) context.lineTo(...this.pointer);
      context.stroke();
      for (const point of this.polygon) {
        const [x, y] = this.toPixels(...point);
        context.fillRect(x - 2 * ratio, y - 2 * ratio, 4 * ratio, 4 * ratio);
      }
    }
  }

  drawEdges(ratio) {
    const [left, right, top, bottom] = this.plane.edges;
    const { width, height } = this.canvas;
    const context = this.context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `${13 * ratio}px system-ui, sans-serif`;
    context.fillStyle = "#ff9";
    context.fillText(left, 5 * ratio, height / 2);
    context.fillText(right, width - 15 * ratio, height / 2);
    context.fillText(top, width / 2, 15 * ratio);
    context.fillText(bottom, width / 2, height - 6 * ratio);
  }
}

// Stroke a path that is in voxels, with a line and dashes in pixels.
function strokePath(context, path, colour, lineWidth, dash) {
  const placed = new Path2D();
  placed.addPath(path, context.getTransform());
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  const ratio = window.devicePixelRatio || 1;
  context.lineWidth = (lineWidth + 1.4) * ratio;
  context.strokeStyle = "#000a";
  context.stroke(placed);
  context.lineWidth = lineWidth * ratio;
  context.strokeStyle = colour;
  context.setLineDash(dash.map((length) => length * ratio));
  context.stroke(placed);
  context.restore();
}

function pathOf(polygons) {
  const path = new Path2D();
  for (const corners of polygons) {
    corners.forEach(([column, row], i) => (i ? path.lineTo(column, row) : path.moveTo(column, row)));
    path.closePath();
  }
  return path;
}
