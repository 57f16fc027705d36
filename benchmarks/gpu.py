"""First measurements on a GPU, in at most eight minutes, the most important ones first.

Each step runs in a separate process with its own time limit. This process imports everything once and is forked
for each step; it doesn't use the GPU itself. Rows are written as soon as they are known, and after each step to
results.json and results.md. An interrupted step or run still leaves what it measured.

1. ceilings of the device
2. correctness, and precision
3. a step of stage 1, by network and by chunk size
4. a step of stage 3
5. prediction, and ``gynbtnet pretrain`` from end to end, also in float16

Examples::

    python benchmarks/gpu.py --out gpu
    python benchmarks/gpu.py --out gpu --steps ceilings precision
    python benchmarks/gpu.py --out tiny --tiny                           # all steps on a CPU, without meaning
"""

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers.masked_dense import masked_encode, masked_reconstruction
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from gynbtnet.cli import main as main_program
from gynbtnet.imaging import write_volume
from gynbtnet.inference import PredictionRequest, PredictionSettings, load_model, predict_scan
from gynbtnet.networks import Encoder, GynBTNet, Preset, find_preset
from gynbtnet.phantom import pelvic_geometry, phantom_case
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.sparse import (
    ActiveBlocks,
    DeviceRules,
    MaskedAutoencoder,
    as_channels_last,
    cuda_rules,
    draw_active_blocks,
    rules_for,
    sparse_encode,
    use_channels_last_layers,
)
from gynbtnet.training import build_network, deeply_supervised, masked_l2

ROOT = Path(__file__).parents[1]


class Run:
    """Sizes of the run, and the file that its rows are appended to."""

    def __init__(self, tiny: bool, rows: Path) -> None:
        self.tiny, self.rows = tiny, rows
        self.device = torch.device("cpu" if tiny else "cuda")
        self.preset = find_preset("XS" if tiny else "L")
        self.patch = (16, 32, 32) if tiny else (112, 128, 128)
        self.repeats = 1 if tiny else 3

    def report(self, name: str, value: float | str, unit: str = "") -> None:
        with self.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "value": value, "unit": unit}) + "\n")

    def seconds(self, compute: Callable[[], object]) -> float:
        """Return the median time of a computation after a first one that doesn't count."""
        times = []
        for _ in range(self.repeats + 1):
            start = time.perf_counter()
            compute()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    def wait(self) -> None:
        if not self.tiny:
            torch.cuda.synchronize()

    def autocast(self, dtype: torch.dtype = torch.bfloat16) -> torch.autocast:
        return torch.autocast(self.device.type, dtype, enabled=not self.tiny)

    def draw(self, batch: int, grid: tuple[int, int, int]) -> ActiveBlocks:
        drawn = draw_active_blocks(batch, grid, 0.6, torch.Generator().manual_seed(1))
        return ActiveBlocks(drawn.mask, self.device)

    @contextmanager
    def peak_memory(self, name: str) -> Iterator[None]:
        if not self.tiny:
            torch.cuda.reset_peak_memory_stats()
        yield
        if not self.tiny:
            self.report(f"{name}, peak memory", torch.cuda.max_memory_allocated() / 1e9, "GB")


def ceilings(run: Run) -> None:
    """Rates of copies, matrix products and one convolution, and the kernels of the convolution."""
    run.report("PyTorch", torch.__version__)
    run.report("device", "CPU" if run.tiny else torch.cuda.get_device_name())
    run.report("cuDNN", str(torch.backends.cudnn.version()))  # type: ignore[no-untyped-call]
    values = torch.zeros(2**12 if run.tiny else 2**30, dtype=torch.bfloat16, device=run.device)
    run.report("copy", 2 * values.nbytes / run.seconds(values.clone) / 1e9, "GB/s")
    edge = 64 if run.tiny else 8192
    matrix = torch.randn(edge, edge, device=run.device, dtype=torch.bfloat16)
    run.report("bfloat16 matrix product", 2 * edge**3 / run.seconds(lambda: matrix @ matrix) / 1e12, "TFLOP/s")
    tiles = torch.randn(1 if run.tiny else 512, 64, 18, 18, 18, device=run.device, dtype=torch.bfloat16)
    tiles = tiles.contiguous(memory_format=torch.channels_last_3d)
    weight = torch.randn(64, 64, 3, 3, 3, device=run.device, dtype=torch.bfloat16)
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    for benchmark in (False, True):
        torch.backends.cudnn.benchmark = benchmark
        seconds = run.seconds(lambda: nn.functional.conv3d(tiles, weight))
        rate = 2 * len(tiles) * 16**3 * 27 * 64**2 / seconds / 1e12
        run.report(f"bfloat16 convolution 64 → 64 of tiles, cudnn.benchmark {benchmark}", rate, "TFLOP/s")
    with profiled(run) as profiler:
        nn.functional.conv3d(tiles, weight)
        run.wait()
    for name, _, _ in kernels(run, profiler)[:3]:
        run.report("its kernel", name)


def correctness(run: Run) -> None:
    """Outcome of the tests of the sparse layers on this device."""
    import pytest

    tests = ROOT / "tests" / "sparse"
    arguments = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    if run.tiny:
        arguments += [str(tests / "test_device_rules.py"), "-k", "test_chunks_grow"]
    else:
        arguments += [str(tests), "-k", "(cuda or triton) and not at_its_patch and not papers_patch"]
    outcomes = Outcomes()
    pytest.main(arguments, plugins=[outcomes])
    for outcome, number in outcomes.numbers.items():
        run.report(f"tests {outcome}", number)
    for test in outcomes.failed:
        run.report("failed", test)


@dataclass
class Outcomes:
    """Plugin of pytest that counts the outcomes of tests, and keeps the names of those that failed."""

    numbers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.numbers[report.outcome] += 1
        if report.failed:
            self.failed.append(report.nodeid)


def precision(run: Run) -> None:
    """Largest error of a weight's gradient at each level in bfloat16, ours and dense × mask, at a slope of 1."""
    base, levels = (4, 4) if run.tiny else (16, 6)
    channels = tuple(base * factor for factor in (1, 2, 4, 8, 16, 16))
    preset = Preset(channels[:levels], 2, (1, 2, 2, 2, 2, 1)[:levels])
    torch.manual_seed(0)
    encoder = Encoder(preset).to(run.device)
    for module in encoder.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 1.0
    patch = (32, 32, 32) if run.tiny else run.patch  # fewer voxels at the deepest level have no stable norm
    image = torch.randn(2, 1, *patch, generator=torch.Generator().manual_seed(1)).to(run.device)
    active = run.draw(2, encoder.deepest_grid(image.shape[2:]))
    mask = active.mask.to(run.device)

    def gradients(dense: bool, dtype: torch.dtype) -> dict[str, Tensor]:
        encoder.to(torch.float64 if dtype == torch.float64 else torch.float32).zero_grad()
        x = image.to(next(encoder.parameters()).dtype)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            if dense:
                maps = masked_encode(encoder, x, mask)
            else:
                maps = [level.rows for level in sparse_encode(encoder, x, active)]
        generator = torch.Generator(run.device).manual_seed(2)
        weights = [torch.randn(y.shape, generator=generator, device=run.device) for y in maps]
        totals = [(y * w).double().sum() for y, w in zip(maps, weights, strict=True)]
        torch.stack(totals).sum().backward()
        return {name: value.grad.double().clone() for name, value in encoder.named_parameters() if "weight" in name}

    for label, dense in (("ours", False), ("dense × mask", True)):
        exact, rounded = gradients(dense, torch.float64), gradients(dense, torch.bfloat16)
        errors = {name: float((rounded[name] - exact[name]).norm() / exact[name].norm()) for name in exact}
        for level in range(len(preset.channels)):
            largest = max(error for name, error in errors.items() if name.startswith(f"levels.{level}."))
            run.report(f"bfloat16 error of gradients, level {level}, {label}", 100 * largest, "%")


def pretraining_step(run: Run) -> None:
    """Time and memory of a step of stage 1 with 8 and 24 patches, ours and dense × mask."""
    for batch in (1,) if run.tiny else (8, 24):
        for label in ("ours", "dense × mask"):
            try:
                time_stage_1(run, batch, label)
            except torch.OutOfMemoryError:
                run.report(f"step of stage 1, {batch} patches, {label}", "out of memory")


def time_stage_1(run: Run, batch: int, label: str) -> None:
    torch.manual_seed(0)
    network = MaskedAutoencoder(run.preset).to(run.device)
    image = torch.randn(batch, 1, *run.patch, device=run.device)
    optimiser = torch.optim.AdamW(network.parameters(), fused=not run.tiny)

    def step() -> None:
        stage_1_step(run, network, image, label == "ours")
        optimiser.step()
        optimiser.zero_grad()

    name = f"step of stage 1, {batch} patches, {label}"
    with run.peak_memory(name):
        seconds = run.seconds(step)
    run.report(name, seconds, "s")
    run.report(f"{name}, rate", batch / seconds, "patches/s")
    with FlopCounterMode(display=False) as flops:
        step()
    run.report(f"{name}, floating-point operations", flops.get_total_flops() / seconds / 1e12, "TFLOP/s")


def stage_1_step(run: Run, network: MaskedAutoencoder, image: Tensor, sparse: bool) -> None:
    active = run.draw(len(image), network.encoder.deepest_grid(image.shape[2:]))
    with run.autocast():
        if sparse:
            reconstruction: Tensor = network(image, active)
        else:
            mask = active.mask.to(run.device)
            reconstruction = masked_reconstruction(network, masked_encode(network.encoder, image, mask), mask)
    masked_l2(reconstruction.float(), image, ~active.mask, normalise=True).backward()


def chunks(run: Run) -> None:
    """Time of a step of stage 1 by chunk size and by the smallest tiled block; launches and longest kernels."""
    batch = 1 if run.tiny else 24
    image = torch.randn(batch, 1, *run.patch, device=run.device)
    chosen = cuda_rules(2**20) if run.tiny else rules_for(run.device)
    variants: dict[str, DeviceRules] = {"chosen": chosen}
    variants |= {f"chunks of 2^{power}": cuda_rules(2**power) for power in ((18,) if run.tiny else (23, 26, 29, 30))}
    for edge, halo in ((8, 2.0), (2, 8.0)):
        tiles, rest = chosen.convolutions
        variants[f"tiles from edges of {edge}"] = replace(
            chosen, convolutions=(replace(tiles, max_output_halo=halo), rest)
        )
    for name, rules in variants.items():
        torch.manual_seed(0)
        network = MaskedAutoencoder(run.preset, rules=rules).to(run.device)
        run.report(f"step, {name}", run.seconds(partial(stage_1_step, run, network, image, True)), "s")
        if name == "chosen":
            report_kernels(run, network, image)


def report_kernels(run: Run, network: MaskedAutoencoder, image: Tensor) -> None:
    start = time.perf_counter()
    with profiled(run) as profiler:
        stage_1_step(run, network, image, True)
        run.wait()
    wall = time.perf_counter() - start
    events = kernels(run, profiler)
    run.report("launches per step", sum(count for *_, count in events))
    run.report("share of the profiled step in which the GPU computes", sum(s for _, s, _ in events) / wall)
    for kernel, seconds, count in events[:10]:
        run.report(f"{count} × {kernel[:90]}", 1e3 * seconds, "ms")


def dense_step(run: Run) -> None:
    """Time of a step of stage 3 at batch 2; each line has what the lines above have, the last two are alternatives."""
    image = torch.randn(2, 1, *run.patch, device=run.device)
    labels = torch.randint(6, (2, *run.patch), device=run.device)
    for name in (*("eager", "cudnn.benchmark", "fused AdamW", "channels last"), *["compiled"] * (not run.tiny)):
        time_stage_3(run, name, image, labels)


def time_stage_3(run: Run, name: str, image: Tensor, labels: Tensor) -> None:
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = name != "eager"
    network = GynBTNet(run.preset, outputs=6, deep_supervision=True).to(run.device)
    if name == "channels last":
        use_channels_last_layers(network)
        image = as_channels_last(image)
    if name == "compiled":
        network.encoder.compile()
        network.decoder.compile()
    optimiser = torch.optim.AdamW(network.parameters(), fused=name not in ("eager", "cudnn.benchmark"))

    def step() -> None:
        with run.autocast():
            logits = network(image)
        deeply_supervised([level.float() for level in logits], labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    with run.peak_memory(f"step of stage 3, {name}"):
        run.report(f"step of stage 3, {name}", run.seconds(step), "s")


def prediction(run: Run) -> None:
    """Time of a scan of 512×512×120 with random weights, file to file: --fast, and five folds."""
    folder = run.rows.parent / "prediction"
    folder.mkdir(exist_ok=True)
    spacing, matrix = ((10.0, 10.0, 10.0), (24, 32, 32)) if run.tiny else ((2.5, 0.9, 0.9), (120, 512, 512))
    write_volume(phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix)).scan, folder / "phantom_0000.nii.gz")
    plan = Plan(
        spacing=(10.0, 10.0, 10.0) if run.tiny else (2.5, 0.9, 0.9),
        patch_size=(32, 32, 32) if run.tiny else (80, 160, 160),
        batch_size=2,
        preset="XS" if run.tiny else "L",
        normalisation="zscore",
        intensities=None,
        strides=((1, 1, 1), *[(2, 2, 2)] * 4, *[(1, 1, 1)] * (not run.tiny)),
        structures=("hr_ctv", "bladder", "rectum", "sigmoid", "uterus"),
    )
    for folds, fast in ((1, True), (1, False), (2 if run.tiny else 5, False)):
        model = folder / f"model_{folds}"
        for fold in range(folds):
            fold_folder = model / f"fold_{fold}" if folds > 1 else model
            torch.manual_seed(fold)
            save_plan(plan, fold_folder)
            save_file(build_network(plan, deep_supervision=True).state_dict(), fold_folder / "weights_last.safetensors")
        settings = PredictionSettings(device=run.device.type)
        settings = settings.fast() if fast else settings
        loaded = load_model(model, settings)
        for attempt in range(1 if run.tiny else 2):
            out = folder / f"out_{folds}_{fast}_{attempt}"
            start = time.perf_counter()
            request = PredictionRequest.from_path(
                loaded, folder / "phantom_0000.nii.gz", out, settings=settings, synthetic=True
            )
            predict_scan(loaded, request)
            name = f"prediction, folds {folds}{', --fast' * fast}, attempt {attempt + 1}"
            run.report(name, time.perf_counter() - start, "s")


def end_to_end(run: Run) -> None:
    """Report ``gynbtnet pretrain`` on synthetic scans, preparation included; then two steps of it in float16."""
    folder = run.rows.parent / "pretraining"
    form = ["--spacing", "10", "10", "10", "--matrix", "24", "32", "32"] if run.tiny else []
    recipe = "smoke" if run.tiny else "pretrain"
    changes = {"steps_per_epoch": 1 if run.tiny else 10, "epochs": 1, "validation_patches": 2}
    if not run.tiny:
        changes["workers"] = 14
    # scaled losses, clipped gradients and the optimiser meet in a real training only
    float16 = changes | {"steps_per_epoch": 2, "precision": "auto" if run.tiny else "16-mixed"}
    prepared, out, out_in_float16 = folder / "run" / "scans" / "prepared", folder / "run", folder / "run_in_float16"
    for name, arguments in (
        ("phantom", [folder / "scans", "--kind", "unlabelled", "--unlabelled", 4, *form]),
        ("pretrain", [folder / "scans", recipe, "--out", out, *settings_of_pretraining(changes)]),
        ("pretrain", [prepared, recipe, "--out", out_in_float16, *settings_of_pretraining(float16)]),
    ):
        start = time.perf_counter()
        code = call_program([name, *map(str, arguments)])
        title = f"gynbtnet {name}{', float16' * (out_in_float16 in arguments)}"
        run.report(f"{title}, without the start of Python", time.perf_counter() - start, "s")
        if code:
            run.report("its error", f"exit code {code}, see {run.rows.stem}.log")
            return
    for title, out_folder in (("last epoch", out), ("last epoch in float16", out_in_float16)):
        head, *rows = (out_folder / "log.csv").read_text(encoding="utf-8").splitlines()
        for name, value in zip(head.split(","), rows[-1].split(","), strict=True):
            run.report(f"{title}, {name}", value)


def settings_of_pretraining(changes: dict[str, Any]) -> list[str]:
    """Return the options of ``gynbtnet pretrain`` that set these values."""
    return [part for name, value in changes.items() for part in ("--set", f"pretraining.training.{name}={value}")]


def call_program(arguments: list[str]) -> int:
    """Call ``gynbtnet`` in this process, and return its exit code."""
    sys.argv = ["gynbtnet", *arguments]
    try:
        main_program()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@contextmanager
def profiled(run: Run) -> Iterator[profile]:
    activities = [ProfilerActivity.CPU] if run.tiny else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as profiler:
        yield profiler


def kernels(run: Run, profiler: profile) -> list[tuple[str, float, int]]:
    """Return name, seconds and number of the kernels, longest first; on a CPU those of the operators."""
    device = DeviceType.CPU if run.tiny else DeviceType.CUDA
    events = [event for event in profiler.key_averages() if event.device_type == device]
    times = [(e.key, (e.self_cpu_time_total if run.tiny else e.self_device_time_total) / 1e6, e.count) for e in events]
    return sorted(times, key=lambda row: -row[1])


STEPS: dict[str, tuple[Callable[[Run], None], int]] = {
    "ceilings": (ceilings, 25),
    "correctness": (correctness, 70),
    "precision": (precision, 35),
    "step": (pretraining_step, 100),
    "chunks": (chunks, 70),
    "dense": (dense_step, 70),
    "prediction": (prediction, 60),
    "pretrain": (end_to_end, 50),
}
"""Steps in order, each with its time limit in seconds; together eight minutes."""


def run_steps(out: Path, names: list[str], tiny: bool, share_of_limits: float = 1.0) -> bool:
    """Run each step in a separate process, write all rows after each, and return whether all have ended well."""
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    for name in names:
        compute, seconds = STEPS[name]
        rows = out / f"{name}.jsonl"
        rows.unlink(missing_ok=True)
        start = time.perf_counter()
        outcome = outcome_of(partial(compute, Run(tiny, rows)), out / f"{name}.log", seconds * share_of_limits)
        lines = rows.read_text(encoding="utf-8").splitlines() if rows.exists() else []
        results[name] = {
            "outcome": outcome,
            "seconds": round(time.perf_counter() - start, 1),
            "rows": [json.loads(line) for line in lines],
        }
        (out / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
        (out / "results.md").write_text(markdown(results), encoding="utf-8")
        print(f"{name}: {outcome}", flush=True)
    return all(result["outcome"] == "done" for result in results.values())


def outcome_of(compute: Callable[[], None], log: Path, limit: float) -> str:
    """Compute in a forked process, end it and its own processes after ``limit`` seconds, and describe the outcome."""
    process = FORKING.Process(target=compute_alone, args=(compute, log))
    process.start()
    process.join(limit)
    if process.exitcode is None:
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return f"stopped after {limit:g} s"
    return "done" if process.exitcode == 0 else f"failed, see {log.name}"


def compute_alone(compute: Callable[[], None], log: Path) -> None:
    """Compute as the first process of a new group, with all output in a file."""
    os.setsid()
    with log.open("w", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    compute()


FORKING = multiprocessing.get_context("fork")
"""Way to start processes that saves each of them the imports."""


def require_gpu() -> None:
    """Raise an error if PyTorch sees no GPU. Call it in a separate process, since CUDA doesn't survive a fork."""
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no CUDA device here")


def markdown(results: dict[str, dict[str, object]]) -> str:
    lines = []
    for name, result in results.items():
        lines += [f"## {name}: {result['outcome']}, {result['seconds']} s", "", "| measurement | value |", "|---|---|"]
        for row in result["rows"]:  # type: ignore[attr-defined]
            value = f"{row['value']:.4g}" if isinstance(row["value"], float) else str(row["value"]).replace("|", "/")
            lines.append(f"| {row['name']} | {value} {row['unit']} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on a CPU, to check the script itself")
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if not options.tiny and outcome_of(require_gpu, out / "gpu.log", 60) != "done":
        parser.error("PyTorch sees no CUDA device here; --tiny runs all steps on a CPU")
    if not run_steps(out, options.steps, options.tiny, 20 if options.tiny else 1):
        sys.exit(1)


if __name__ == "__main__":
    main()
