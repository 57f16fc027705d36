"""Prediction of one window on a CPU: the plain network and the one that ``optimise_for_cpu`` returns.

A third variant convolves the upsampled maps of the decoder as they are, without the split form. Each variant runs in
its own process, with one thread and the same allocator setting. Printed are the operations that PyTorch's counter
counts, the least CPU seconds and the peak memory of the process.

    python benchmarks/cpu_optimisation.py                          # presets XS and B, 80×160×160
    python benchmarks/cpu_optimisation.py --presets L --repeats 1  # needs some 40 GB
"""

import argparse
import resource
import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from gynbtnet.inference import CpuTuning, optimise_for_cpu
from gynbtnet.networks import GynBTNet
from gynbtnet.training import keep_freed_memory

VARIANTS = ("plain", "optimised, not split", "optimised")


def count_operations(x: list[int], weight: list[int], *_: object, out_shape: list[int], **__: object) -> int:
    """Return the operations of oneDNN's convolution, which PyTorch's counter does not know."""
    return int(conv_flop_count(x, weight, out_shape))


def measure(variant: str, preset: str, patch: list[int], outputs: int, repeats: int) -> None:
    """Print CPU seconds, peak GB and TFLOP of one variant."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network: torch.nn.Module = GynBTNet(preset, outputs=outputs, deep_supervision=False)
    if variant != "plain":
        tuning = CpuTuning() if variant == "optimised" else CpuTuning(min_split_voxels=sys.maxsize)
        network = optimise_for_cpu(network, tuning)
    image = torch.randn(1, 1, *patch)
    with torch.no_grad():
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            network(image)
            seconds.append(time.process_time() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        custom_counts = {torch.ops.aten.mkldnn_convolution: count_operations}
        with FlopCounterMode(display=False, custom_mapping=custom_counts) as counter:
            network(image)
    print(min(seconds), peak, counter.get_total_flops() / 1e12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["XS", "B"])
    parser.add_argument("--patch", type=int, nargs=3, default=(80, 160, 160))
    parser.add_argument("--outputs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        measure(*options.worker, options.patch, options.outputs, options.repeats)
        return
    print("| preset | network | TFLOP | CPU s | faster by | peak GB | of plain |")
    print("|---" * 7 + "|")
    for preset in options.presets:
        plain: tuple[float, float] | None = None
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--worker", variant, preset, "--patch", *map(str, options.patch)]
            command += ["--outputs", str(options.outputs), "--repeats", str(options.repeats)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, peak, operations = map(float, output.split()[-3:])
            plain = plain or (seconds, peak)
            ratios = f"{plain[0] / seconds:.2f}× | {peak:.2f} | {peak / plain[1]:.2f}"
            print(f"| {preset} | {variant} | {operations:.3f} | {seconds:.2f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
