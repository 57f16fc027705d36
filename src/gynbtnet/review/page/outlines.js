// Outlines of a mask along the edges of its voxels, as closed polygons.

export function traceOutlines(mask, rows, columns) {
  const width = columns + 1;
  const next = new Int32Array((rows + 1) * width).fill(-1);
  const second = new Map(); // at a corner where two voxels touch diagonally, two edges begin
  const starts = [];
  const add = (from, to) => {
    starts.push(from);
    if (next[from] < 0) next[from] = to;
    else second.set(from, to);
  };
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      if (!mask[i]) continue;
      const corner = row * width + column;
      if (row === 0 || !mask[i - columns]) add(corner, corner + 1);
      if (column === columns - 1 || !mask[i + 1]) add(corner + 1, corner + 1 + width);
      if (row === rows - 1 || !mask[i + columns]) add(corner + 1 + width, corner + width);
      if (column === 0 || !mask[i - 1]) add(corner + width, corner);
    }
  }
  const polygons = [];
  for (const start of starts) {
    if (next[start] < 0) continue;
    const corners = [];
    let at = start, step = 0;
    while (next[at] >= 0) {
      const to = next[at];
      if (second.has(at)) {
        next[at] = second.get(at);
        second.delete(at);
      } else next[at] = -1;
      if (to - at !== step) corners.push(at);
      step = to - at;
      at = to;
    }
    polygons.push(corners.map((corner) => [corner % width, Math.floor(corner / width)]));
  }
  return polygons;
}
