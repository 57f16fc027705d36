"""What computes a network fastest on a CPU: a window of 80×160×160, each variant in a process of its own, one thread.

CPU seconds (the least of three), what preparing took, the process's peak memory, and the share of equal labels. The
weights are random, so that the network is undecided everywhere: labels of a trained one differ less.

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

VARIANTS = ("as it comes", "channels last", "bfloat16", "eager", "compiled", "openvino")
"""The last three are what --backend names; the others keep no freed memory either."""


def worker(variant: str, preset: str, patch: tuple[int, int, int], out: Path) -> None:
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
        network, image = (part.to(memory_format=torch.channels_last_3d) for part in (network, image))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=variant == "bfloat16"):
        run(image)
        preparing, seconds = time.perf_counter() - began, []
        for _ in range(3):
            start = time.process_time()
            logits = run(image)
            seconds.append(time.process_time() - start)
    np.save(out, logits[0].argmax(0).to(torch.uint8).numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(min(seconds), preparing, peak)


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
            first = None
            for variant in options.variants:
                out = Path(folder) / "labels.npy"
                command = [sys.executable, "-W", "ignore", __file__, "--worker", variant, preset, str(out)]
                command += ["--patch", *map(str, options.patch)]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seconds, preparing, peak = map(float, told.split()[-3:])
                labels = np.load(out)
                first = first or (seconds, labels)
                equal = (labels == first[1]).mean()
                figures = f"{seconds:.2f} | {first[0] / seconds:.2f}× | {preparing:.0f} | {peak:.2f} | {equal:.4%}"
                print(f"| {preset} | {variant} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
