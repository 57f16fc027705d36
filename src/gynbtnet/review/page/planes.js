// The three planes of a volume in display orientation: z to the head, y to posterior, x to the patient's left.
// Rows and columns of a plane run along its two axes in ascending order, as in the server's patches.

export const PLANES = [
  { name: "axial", axis: 0, rowAxis: 1, columnAxis: 2, upwards: false, edges: ["R", "L", "A", "P"] },
  { name: "sagittal", axis: 2, rowAxis: 0, columnAxis: 1, upwards: true, edges: ["A", "P", "H", "F"] },
  { name: "coronal", axis: 1, rowAxis: 0, columnAxis: 2, upwards: true, edges: ["R", "L", "H", "F"] },
];

export function planeGrid(shape, plane, index) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  return {
    rows: shape[plane.rowAxis],
    columns: shape[plane.columnAxis],
    start: index * strides[plane.axis],
    rowStride: strides[plane.rowAxis],
    columnStride: strides[plane.columnAxis],
  };
}

export function readPlane(volume, grid) {
  const values = new volume.constructor(grid.rows * grid.columns);
  for (let row = 0, i = 0; row < grid.rows; row++) {
    let at = grid.start + row * grid.rowStride;
    for (let column = 0; column < grid.columns; column++, i++, at += grid.columnStride) values[i] = volume[at];
  }
  return values;
}

// Changed voxels between two states of a plane, as the server's patch; null if there are none.
export function boxOfChanges(before, after, rows, columns) {
  let top = rows, bottom = -1, left = columns, right = -1;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      if (before[i] === after[i]) continue;
      if (row < top) top = row;
      if (row > bottom) bottom = row;
      if (column < left) left = column;
      if (column > right) right = column;
    }
  }
  return bottom < 0 ? null : { row: top, column: left, height: bottom - top + 1, width: right - left + 1 };
}

export function planeOfAxis(axis) {
  return PLANES.find((plane) => plane.axis === axis);
}
