// Which of the two draws the scan. The 2D canvas does from the start; NiiVue follows once it has the scan. Without a
// graphics card NiiVue takes over a minute to load a scan of 512 × 512 × 120, so that the canvas then stays.

import { CanvasImage } from "./canvas_image.js";
import { findRenderer, NiivueImage } from "./niivue_image.js";

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const wanted = new URLSearchParams(location.search).get("drawing");
const canvas = new CanvasImage();
let niivue = null; // a promise
let whenLost = null; // for the case that is drawn now

function reasonForCanvas(isInstalled) {
  if (wanted === "canvas") return "the address of the page asks for it";
  if (!isInstalled) return "NiiVue is not part of this installation";
  const renderer = findRenderer();
  if (!renderer) return "this browser has no WebGL 2, which NiiVue needs";
  const software = renderer.match(SOFTWARE)?.[0];
  if (software && wanted !== "niivue") return `NiiVue would be slow, because WebGL runs in software (${software})`;
  return null;
}

// Draw a scan. Calls show(image, sentence) now, and again whenever the other one draws it.
export async function drawScan({ scan, window, isInstalled, show }) {
  const useCanvas = (reason) => show(canvas, `A 2D canvas draws the scan: ${reason}.`);
  const reason = reasonForCanvas(isInstalled);
  if (reason) return useCanvas(reason);
  useCanvas("NiiVue is loading");
  try {
    whenLost = () => useCanvas("the browser has taken WebGL away from NiiVue");
    niivue ??= NiivueImage.start(() => {
      niivue = null;
      whenLost();
    });
    const image = await niivue;
    await image.load(scan, window);
    return show(image, "NiiVue draws the scan.");
  } catch (error) {
    return useCanvas(`NiiVue could not (${error.message ?? error.type})`);
  }
}

export { canvas as canvasImage };
