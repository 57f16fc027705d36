// Drawing on a plane of a mask. Coordinates are in voxels: the centre of voxel (row, column) is (column + ½, row + ½).

// Mark the voxels whose centre is within a radius in mm of a line.
export function paintLine(mask, rows, columns, from, to, radius, spacing) {
  const [rowMm, columnMm] = spacing;
  const [x0, y0, x1, y1] = [from[0] * columnMm, from[1] * rowMm, to[0] * columnMm, to[1] * rowMm];
  const firstRow = Math.max(0, Math.floor((Math.min(y0, y1) - radius) / rowMm));
  const lastRow = Math.min(rows - 1, Math.ceil((Math.max(y0, y1) + radius) / rowMm));
  const firstColumn = Math.max(0, Math.floor((Math.min(x0, x1) - radius) / columnMm));
  const lastColumn = Math.min(columns - 1, Math.ceil((Math.max(x0, x1) + radius) / columnMm));
  const [dx, dy] = [x1 - x0, y1 - y0];
  const squared = dx * dx + dy * dy;
  for (let row = firstRow; row <= lastRow; row++) {
    const y = (row + 0.5) * rowMm;
    for (let column = firstColumn; column <= lastColumn; column++) {
      const x = (column + 0.5) * columnMm;
      const t = squared ? Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / squared)) : 0;
      const [ex, ey] = [x - x0 - t * dx, y - y0 - t * dy];
      if (ex * ex + ey * ey <= radius * radius) mask[row * columns + column] = 1;
    }
  }
}

// Set the voxels whose centre is inside a polygon (even-odd rule).
export function paintPolygon(mask, rows, columns, points, value) {
  for (let row = 0; row < rows; row++) {
    const y = row + 0.5;
    const crossings = [];
    points.forEach(([x0, y0], i) => {
      const [x1, y1] = points[(i + 1) % points.length];
      if ((y0 <= y) !== (y1 <= y)) crossings.push(x0 + ((y - y0) * (x1 - x0)) / (y1 - y0));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(0, Math.ceil(crossings[i] - 0.5));
      for (let column = first; column < columns && column + 0.5 < crossings[i + 1]; column++) {
        mask[row * columns + column] = value;
      }
    }
  }
}

// Fill the empty region around a voxel; false if it is open towards the edge of the plane.
export function fillRegion(mask, rows, columns, row, column) {
  if (mask[row * columns + column]) return true;
  const inside = new Uint8Array(mask.length);
  const waiting = [row * columns + column];
  inside[waiting[0]] = 1;
  while (waiting.length) {
    const at = waiting.pop();
    const [r, c] = [Math.floor(at / columns), at % columns];
    if (r === 0 || c === 0 || r === rows - 1 || c === columns - 1) return false;
    for (const other of [at - 1, at + 1, at - columns, at + columns]) {
      if (!mask[other] && !inside[other]) {
        inside[other] = 1;
        waiting.push(other);
      }
    }
  }
  for (let i = 0; i < mask.length; i++) if (inside[i]) mask[i] = 1;
  return true;
}
