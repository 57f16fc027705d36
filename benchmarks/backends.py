"""Speed of the backends on a CPU, on a window of 80×160×160.

Each variant runs in a separate process with one thread. Printed are CPU seconds (the least of three), the time for
preparation, the peak memory of the process, and the share of equal labels. The weights are random, so that the network
is undecided everywhere; labels of a trained network differ less.

    python benchmarks/backends.py                    # presets XS and B
    python benchmarks/backends.py --presets XS --patch 32 64 64
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gynbtnet.inference import prepare_network
from gynbtnet.networks import PRESETS, GynBTNet

VARIANTS = ("default", "channels last", "bfloat16", "eager", "compiled", "openvino")
"""The last three are values of ``--backend``. The others do not keep freed memory."""


def worker(variant: str, preset: str, patch: tuple[int, int, int], out: Path) -> None:
    """Measure one variant in this process, save its labels and print seconds, preparation time and peak GB."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = GynBTNet(PRESETS[preset], outputs=6, deep_supervision=False).eval().requires_grad_(False)
    image = torch.randn(1, 1, *patch)
    began = time.perf_counter()
    if variant in ("eager", "compiled", "openvino"):
        run = prepare_network(network, variant, torch.device("cpu"), channels=1, outputs=6, window=patch)
    else:
        run = network
    if variant == "channels last":
        network, image = (value.to(memory_format=torch.channels_last_3d) for value in (network, image))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=variant == "bfloat16"):
        run(image)
        preparation, seconds = time.perf_counter() - began, []
        for _ in range(3):
            start = time.process_time()
            logits = run(image)
            seconds.append(time.process_time() - start)
    np.save(out, logits[0].argmax(0).to(torch.uint8).numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(min(seconds), preparation, peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["XS", "B"])
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--patch", type=int, nargs=3, default=(80, 160, 160))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        variant, preset, out = options.worker
        worker(variant, preset, tuple(options.patch), Path(out))
        return
    print("| preset | | CPU s | faster by | ready after s | peak GB | equal labels |")
    print("|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for preset in options.presets:
            reference = None
            for variant in options.variants:
                out = Path(folder) / "labels.npy"
                command = [sys.executable, "-W", "ignore", __file__, "--worker", variant, preset, str(out)]
                command += ["--patch", *map(str, options.patch)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seconds, preparation, peak = map(float, output.split()[-3:])
                labels = np.load(out)
                reference = reference or (seconds, labels)
                equal = (labels == reference[1]).mean()
                cells = f"{seconds:.2f} | {reference[0] / seconds:.2f}× | {preparation:.0f} | {peak:.2f} | {equal:.4%}"
                print(f"| {preset} | {variant} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
