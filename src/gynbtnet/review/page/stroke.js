// A stroke of brush or eraser in progress. The contour may change meanwhile, e.g. if an undo is answered.

import { planeGrid } from "./planes.js";
import { paintLine } from "./shapes.js";

export class Stroke {
  constructor(opened, structure, plane, index, tool) {
    Object.assign(this, { opened, structure, plane, index, tool, generation: opened.generation, last: null });
    this.grid = planeGrid(opened.shape, plane, index);
    this.painted = new Uint8Array(this.grid.rows * this.grid.columns);
  }

  // False if the case was left or loaded again: the stroke was drawn on another state.
  isOf(opened) {
    return this.opened === opened && this.generation === opened?.generation;
  }

  continueTo(at, radius, spacing) {
    paintLine(this.painted, this.grid.rows, this.grid.columns, this.last ?? at, at, radius, spacing);
    this.last = at;
  }

  // The plane as it is now, with the stroke on it.
  get after() {
    const values = this.opened.plane(this.structure, this.plane, this.index);
    const value = this.tool === "brush" ? 1 : 0;
    for (let i = 0; i < values.length; i++) if (this.painted[i]) values[i] = value;
    return values;
  }
}
