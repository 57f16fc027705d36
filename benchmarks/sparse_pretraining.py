"""Time and memory of pretraining on active blocks only, compared with dense convolution with and without a mask.

Measured are the forward and backward pass of the encoder, and whole training steps with the light decoder. All variants
take turns in one run, with the same threads and allocator settings. Printed are medians. Memory is measured in a
separate process for each variant.

Examples::

    python benchmarks/sparse_pretraining.py                      # base 32 (preset B), 112×128×128
    python benchmarks/sparse_pretraining.py --quick              # 64×64×64, a minute or two
    OMP_NUM_THREADS=1 python benchmarks/sparse_pretraining.py --clock cpu      # on a machine that others use too
    python benchmarks/sparse_pretraining.py --base 64 --depth 2 --batch 24    # preset L, for a GPU (bf16)
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import cache
from pathlib import Path

import psutil
import torch
from peers.masked_dense import masked_encode, masked_reconstruction
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from gynbtnet.networks import Preset
from gynbtnet.sparse import ActiveBlocks, MaskedAutoencoder, draw_active_blocks, sparse_encode
from gynbtnet.training import keep_freed_memory, masked_l2

DENSE = ("dense", "dense, channels last", "dense, compiled")
OPERATOR_GROUPS = {
    "convolution": "convolutions",
    "mkldnn_convolution": "convolutions",
    "cudnn_convolution": "convolutions",
    "mm": "matrix products of small blocks, shortcuts",
    "addmm": "matrix products of small blocks, shortcuts",
    "index_select": "gathering tiles and pairs",
    "index_add_": "adding pairs",
    "native_batch_norm": "norms and activations",
    "leaky_relu": "norms and activations",
    "addcmul_": "norms and activations",
    "copy_": "copies and zeros",
    "fill_": "copies and zeros",
    "zero_": "copies and zeros",
}
"""Group of a profiled operator's own time, by the beginning of the operator's name."""


class Variants:
    """One network and batch, run as each variant. Every run draws its mask again, as training does."""

    def __init__(self, options: argparse.Namespace) -> None:
        factors, strides = (1, 2, 4, 8, 16, 16), (1, 2, 2, 2, 2, 1)
        preset = Preset(tuple(options.base * factor for factor in factors), options.depth, strides)
        self.device = torch.device(options.device)
        self.clock = time.process_time if options.clock == "cpu" else time.perf_counter
        torch.manual_seed(0)
        self.network = MaskedAutoencoder(preset).to(self.device)
        self.dense = deepcopy(self.network).to(memory_format=torch.contiguous_format)
        self.last = deepcopy(self.dense.encoder).to(memory_format=torch.channels_last_3d)
        self.compiled = torch.compile(deepcopy(self.dense.encoder))
        self.image = torch.randn(options.batch, 1, *options.patch, device=self.device)

    def draw(self, ratio: float) -> ActiveBlocks:
        grid = self.network.encoder.deepest_grid(self.image.shape[2:])
        drawn = draw_active_blocks(len(self.image), grid, ratio, torch.Generator().manual_seed(1))
        return ActiveBlocks(drawn.mask, self.device)

    def encoder(self, variant: str, ratio: float) -> None:
        """Run the forward and backward pass of the encoder, from the sum of all features."""
        for network in (self.network, self.dense, self.last, self.compiled):
            network.zero_grad()
        with self.precision():
            if variant == "ours":
                packed = sparse_encode(self.network.encoder, self.image, self.draw(ratio))
                features = [level.rows for level in packed]
            elif variant == "dense × mask":
                features = masked_encode(self.dense.encoder, self.image, self.draw(ratio).mask.to(self.device))
            elif variant == "dense, compiled":
                features = self.compiled(self.image)
            elif variant == "dense, channels last":
                features = self.last(self.image.contiguous(memory_format=torch.channels_last_3d))
            else:
                features = self.dense.encoder(self.image)
            total = sum((y.float().sum() for y in features), start=torch.zeros((), device=self.device))
        total.backward()

    def step(self, variant: str, ratio: float) -> None:
        """Run a whole training step: mask, network, light decoder, loss, gradients, AdamW."""
        network = self.network if variant == "ours" else self.dense
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
        active = self.draw(ratio)
        with self.precision():
            if variant == "ours":
                reconstruction: Tensor = network(self.image, active)
            else:
                mask = active.mask.to(self.device)
                features = masked_encode(network.encoder, self.image, mask)
                reconstruction = masked_reconstruction(network, features, mask)
        masked_l2(reconstruction.float(), self.image, ~active.mask, normalise=True).backward()
        optimiser.step()
        optimiser.zero_grad()

    def precision(self) -> AbstractContextManager[object]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def seconds(self, run: Callable[[], None]) -> float:
        start = self.clock()
        run()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - start


def times(options: argparse.Namespace) -> dict[tuple[str, str, float], float]:
    """Return the median seconds of each (part, variant, ratio); variants take turns, and the first round warms up."""
    variants = Variants(options)
    runs = [("encoder", variant, 0.0) for variant in DENSE]
    runs += [("encoder", variant, ratio) for ratio in options.ratios for variant in ("ours", "dense × mask")]
    runs += [("step", variant, ratio) for ratio in options.ratios if ratio for variant in ("ours", "dense × mask")]
    seconds_by_run: dict[tuple[str, str, float], list[float]] = {key: [] for key in runs}
    for repeat in range(options.repeats + 1):
        for part, variant, ratio in runs:
            run = variants.encoder if part == "encoder" else variants.step
            seconds = variants.seconds(lambda: run(variant, ratio))  # noqa: B023
            print(
                f"round {repeat}: {part}, {variant}, {ratio:.0%} masked: {seconds:.2f} s", file=sys.stderr, flush=True
            )
            if repeat:
                seconds_by_run[part, variant, ratio].append(seconds)
    return {key: statistics.median(seconds) for key, seconds in seconds_by_run.items()}


@cache
def peak_memory(part: str, variant: str, ratio: float) -> float:
    """Return the peak memory of a new process in GB, gradients included, without the loaded network and batch."""
    arguments = [*sys.argv[1:], "--memory-of", f"{part}/{variant}/{ratio}"]
    run = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return float(run.stdout)


def own_peak_memory(options: argparse.Namespace, part: str, variant: str, ratio: float) -> float:
    variants = Variants(options)
    run = variants.encoder if part == "encoder" else variants.step
    if variants.device.type == "cuda":
        before = torch.cuda.memory_allocated()
        for _ in range(2):
            run(variant, ratio)
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        run(variant, ratio)
    # The peak of getrusage is not used: a process inherits it from its parent.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return (peak - before) / 1e9


def limits(options: argparse.Namespace, seconds: float, ratio: float) -> str:
    """Report the encoder's rate as a share of that of a matrix product, and its time per group of operators."""
    variants = Variants(options)
    with FlopCounterMode(display=False) as counter:
        variants.encoder("dense", 0.0)
    useful = counter.get_total_flops() * (1 - ratio)
    dtype = torch.bfloat16 if variants.device.type == "cuda" else torch.float32
    matrix = torch.randn(2048, 2048, device=variants.device, dtype=dtype)
    product = min(variants.seconds(lambda: matrix @ matrix) for _ in range(9))
    rate = 2 * 2048**3 / product
    cuda = variants.device.type == "cuda"
    variants.encoder("ours", ratio)
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda]) as profiler:
        variants.encoder("ours", ratio)
    time_by_group: dict[str, float] = {}
    operators = [event for event in profiler.key_averages() if event.device_type == DeviceType.CPU]  # not their kernels
    for event in operators:
        name = event.key.removeprefix("aten::").lstrip("_")
        group = next((group for start, group in OPERATOR_GROUPS.items() if name.startswith(start)), "everything else")
        time_by_group[group] = time_by_group.get(group, 0) + (
            event.self_device_time_total if cuda else event.self_cpu_time_total
        )
    total = sum(time_by_group.values())
    lines = [
        f"| {group} | {time / total:.0%} |" for group, time in sorted(time_by_group.items(), key=lambda item: -item[1])
    ]
    reached = f"{useful / seconds / 1e9:.0f} GFLOP/s, {useful / seconds / rate:.0%}"
    head = [
        "The useful operations of the encoder are those of a dense encoder times the active share.",
        f"They run at {reached}",
        f"of the rate of a 2048×2048 matrix product ({rate / 1e9:.0f} GFLOP/s).",
        "",
        f"| our encoder's time, {ratio:.0%} masked | share |",
        "|---|---|",
    ]
    return "\n".join([*head, *lines])


def table(options: argparse.Namespace) -> str:
    seconds_by_run = times(options)
    patch = "×".join(map(str, options.patch))
    lines = [
        f"Base {options.base}, depth {options.depth}, batch {options.batch}, {patch}, {options.device},",
        f"{torch.get_num_threads()} threads, median of {options.repeats}, {options.clock} time.",
        "",
        f"| forward + backward | masked | s | ours is faster by (dense: at {options.reference:.0%}) | GB | of dense |",
        "|---|---|---|---|---|---|",
    ]
    dense_memory = peak_memory("encoder", "dense", 0.0)
    for (part, variant, ratio), seconds in seconds_by_run.items():
        ours = seconds_by_run[part, "ours", options.reference if variant in DENSE else ratio]
        faster = "" if variant == "ours" else f"{seconds / ours:.2f}×"
        masked = "nothing" if variant in DENSE else f"{ratio:.0%}"
        memory = ""
        # Compiling itself takes memory, and a mask that saves nothing takes the same memory at every ratio.
        if variant != "dense, compiled" and (variant != "dense × mask" or ratio == options.reference):
            peak = peak_memory(part, variant, ratio)
            memory = f"{peak:.2f} | {peak / dense_memory:.2f}" if part == "encoder" else f"{peak:.2f} |"
        lines.append(f"| {part}, {variant} | {masked} | {seconds:.2f} | {faster} | {memory or '|'} |")
    fastest = min(seconds_by_run["encoder", variant, 0.0] for variant in DENSE)
    lines += ["", "| masked | ours over the fastest dense encoder, nothing masked |", "|---|---|"]
    lines += [
        f"| {ratio:.0%} | {fastest / seconds_by_run['encoder', 'ours', ratio]:.2f}× |" for ratio in options.ratios
    ]
    return "\n".join(
        [*lines, "", limits(options, seconds_by_run["encoder", "ours", options.reference], options.reference)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=int, default=32, help="channels of the first level")
    parser.add_argument("--depth", type=int, default=1, help="residual blocks per level; preset L has 2")
    parser.add_argument("--patch", type=int, nargs=3, default=(112, 128, 128), metavar=("Z", "Y", "X"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--ratios", type=float, nargs="+", default=(0.0, 0.4, 0.6, 0.8))
    parser.add_argument(
        "--reference", type=float, default=0.6, help="mask ratio of the variant that is compared with dense runs"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU seconds of all threads")
    parser.add_argument("--quick", action="store_true", help="64×64×64 at the reference ratio, twice")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.patch, options.repeats, options.ratios = (64, 64, 64), 2, (options.reference,)
    if options.reference not in options.ratios:
        parser.error("--reference must be one of --ratios")
    keep_freed_memory()
    if options.memory_of:
        part, variant, ratio = options.memory_of.split("/")
        print(own_peak_memory(options, part, variant, float(ratio)))
    else:
        print(table(options))


if __name__ == "__main__":
    main()
