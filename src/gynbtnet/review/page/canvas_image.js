// The scan on a 2D canvas: works in every browser, and is fast without a graphics card.

import { readPlane } from "./planes.js";

export class CanvasImage {
  name = "canvas";
  slices = new WeakMap(); // by view

  draw(view, context) {
    const slice = this.sliceOf(view);
    view.place(context);
    context.imageSmoothingEnabled = true;
    context.drawImage(slice, 0, 0);
  }

  sliceOf(view) {
    const { case: shown, window } = view.page;
    const key = [view.index, window.level, window.width, shown.path].join();
    const known = this.slices.get(view);
    if (known?.key === key) return known.canvas;
    const { rows, columns } = view.grid;
    const canvas = Object.assign(known?.canvas ?? document.createElement("canvas"), { width: columns, height: rows });
    const pixels = new ImageData(columns, rows);
    const words = new Uint32Array(pixels.data.buffer);
    const values = readPlane(shown.image, view.grid);
    const [low, factor] = [window.level - window.width / 2, 255 / window.width];
    for (let i = 0; i < values.length; i++) {
      const grey = Math.max(0, Math.min(255, (values[i] - low) * factor)) | 0;
      words[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    this.slices.set(view, { key, canvas });
    return canvas;
  }
}
