"""Time of training steps of a small 3D network on CPU, with and without an allocator that keeps freed memory.

Each variant runs three times, in turn and in a separate process: python benchmarks/allocator.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS, STEPS = 3, 10


def step_seconds(kept: bool) -> float:
    """Return the median seconds of a forward and backward pass of the XS network on two patches of 32×48×48."""
    import torch

    from gynbtnet.networks import GynBTNet
    from gynbtnet.training import keep_freed_memory

    if kept and not keep_freed_memory():
        sys.exit("This C library is not glibc: there is no second setting to compare.")
    torch.manual_seed(0)
    network = GynBTNet("XS", outputs=6)
    patches = torch.randn(2, 1, 32, 48, 48)
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        sum(logits.square().mean() for logits in network(patches)).backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    if len(sys.argv) == 2:
        print(step_seconds(sys.argv[1] == "kept"))
        return
    seconds_by_variant: dict[str, list[float]] = {"default": [], "kept": []}
    for _ in range(ROUNDS):
        for variant, seconds in seconds_by_variant.items():
            run = subprocess.run([sys.executable, __file__, variant], check=True, capture_output=True, text=True)
            seconds.append(float(run.stdout))
    before, after = (statistics.median(seconds) for seconds in seconds_by_variant.values())
    print(f"{before:.3f} s per step by default, {after:.3f} s if freed memory is kept: {before / after:.2f}×")


if __name__ == "__main__":
    main()
