// The scan drawn by NiiVue with WebGL. This file is all that the page knows of NiiVue.
//
// NiiVue draws one plane at a time on a canvas of its own, which is copied below the outlines. It gets the scan in
// display orientation, axis-aligned and with its centre at the origin, because it zooms about the origin.

const SLICE_TYPES = { axial: 0, coronal: 1, sagittal: 2 };
const INT16 = 4; // NIfTI's number of the type
const OPTIONS = {
  backColor: [0, 0, 0, 1],
  crosshairWidth: 0,
  interactive: false,
  isOrientationTextVisible: false,
  isRadiologicalConvention: true,
  isResizeCanvas: false,
  loadingText: "",
  logLevel: "error",
  multiplanarShowRender: 0,
  sagittalNoseLeft: true,
  show3Dcrosshair: false,
};

// Name of the browser's WebGL 2 renderer; null if there is none.
export function findRenderer() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return null;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return name;
}

export class NiivueImage {
  name = "niivue";
  loading = Promise.resolve();

  // Resolves once NiiVue is loaded. Calls lost() if the browser takes WebGL away.
  static async start(lost) {
    await import("./npm/niivue.js");
    const { Niivue, NVImage } = globalThis.niivue;
    const canvas = document.createElement("canvas");
    document.createElement("div").append(canvas); // NiiVue colours the parent
    canvas.addEventListener("webglcontextlost", lost);
    const image = new NiivueImage();
    Object.assign(image, { NVImage, niivue: new Niivue(OPTIONS) });
    await image.niivue.attachToCanvas(canvas, false);
    return image;
  }

  // Take another scan; scans are loaded one after another.
  load(scan, window) {
    const work = this.loading.then(() => this.replaceScan(scan, window));
    this.loading = work.catch(() => {});
    return work;
  }

  async replaceScan({ shape, spacing, image, path }, window) {
    const { gl } = this.niivue;
    const largest = gl.getParameter(gl.MAX_3D_TEXTURE_SIZE);
    if (Math.max(...shape) > largest) throw new Error(`the scan has more than ${largest} voxels along an axis`);
    for (const volume of [...this.niivue.volumes]) this.niivue.removeVolume(volume);
    // From voxels (x to the left, y to posterior, z to the head) to NIfTI's right, anterior and head.
    const rows = [2, 1, 0].map((axis, i) => {
      const step = (axis === 0 ? 1 : -1) * spacing[axis];
      const row = [0, 0, 0, (-step * (shape[axis] - 1)) / 2];
      row[i] = step;
      return row;
    });
    const affine = [...rows.flat(), 0, 0, 0, 1];
    const nifti = this.NVImage.createNiftiArray([...shape].reverse(), [...spacing].reverse(), affine, INT16, image);
    const [low, high] = limitsOf(window);
    const volume = await this.NVImage.new(nifti.buffer, `${path}.nii`, "gray", 1, null, low, high);
    this.niivue.addVolume(volume);
    Object.assign(this, { shape, volume });
  }

  draw(view, context) {
    const { niivue, volume } = this;
    const { plane, page, pan } = view;
    const { width, height } = context.canvas;
    const [low, high] = limitsOf(page.window);
    if (volume.cal_min !== low || volume.cal_max !== high) {
      Object.assign(volume, { cal_min: low, cal_max: high });
      niivue.updateGLVolume();
    }
    if (niivue.canvas.width !== width || niivue.canvas.height !== height) Object.assign(niivue.canvas, { width, height });
    const [z, y, x] = page.cursor.map((index, axis) => (index + 0.5) / this.shape[axis]);
    niivue.scene.crosshairPos = [1 - x, 1 - y, z];
    // NiiVue's x, y, z run to the left, up and up on the screen, and it shifts after the zoom.
    const moved = [0, 0, 0];
    moved[2 - plane.columnAxis] = -pan[0] * page.zoom;
    moved[2 - plane.rowAxis] = -pan[1] * page.zoom;
    niivue.scene.pan2Dxyzmm = [...moved, page.zoom];
    niivue.setSliceType(SLICE_TYPES[plane.name]);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(niivue.canvas, 0, 0);
  }
}

function limitsOf({ level, width }) {
  return [level - width / 2, level + width / 2];
}
