"""Computation that a training of nnU-Net has used."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from gynbtnet.baselines.nnunet_usage import Usage, UsageMeter, used_share, used_units
from gynbtnet.baselines.settings import NnUNetSettings

USAGE = Usage(steps=6, cpu_seconds=4.5, gpu_seconds=3.0)


@pytest.mark.parametrize(
    ("settings", "share", "units"),
    [
        (NnUNetSettings(epochs=2, steps_per_epoch=4), 0.75, (6, 8)),
        (NnUNetSettings(epochs=2, steps_per_epoch=4, budget={"steps": 12}), 0.5, (6, 12)),
        (NnUNetSettings(budget={"cpu_seconds": 90}), 0.05, (4, 90)),
        (NnUNetSettings(budget={"gpu_seconds": 2.5}), 1.2, (3, 3)),
    ],
)
def test_share_of_each_budget(settings: NnUNetSettings, share: float, units: tuple[int, int]) -> None:
    assert used_share(settings, USAGE) == pytest.approx(share)
    assert used_units(settings, USAGE) == units


def test_time_counts_inside_only() -> None:
    meter = UsageMeter(USAGE, tuple, gpu=True)
    busy(0.05)
    assert meter.usage() == USAGE
    with meter.running():
        meter.count_step()
        busy(0.05)
        within = meter.usage()
    usage = meter.usage()
    busy(0.05)
    assert meter.usage() == usage
    assert usage.steps == 7
    assert USAGE.cpu_seconds + 0.05 <= within.cpu_seconds <= usage.cpu_seconds
    assert usage.gpu_seconds - USAGE.gpu_seconds == pytest.approx(meter.seconds)
    assert UsageMeter(Usage(), tuple, gpu=False).usage().gpu_seconds == 0


def test_processes_that_load_batches_count_after_their_end_too() -> None:
    script = "import time\nwhile time.process_time() < 0.3: pass\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        loaders = [SimpleNamespace(pid=process.pid)]
        meter = UsageMeter(Usage(), lambda: loaders, gpu=False)
        seconds = meter.usage().cpu_seconds
        process.communicate(b"\n")
    assert 0.25 <= seconds < 5
    assert meter.usage().cpu_seconds == seconds


def busy(seconds: float) -> None:
    """Compute for the given CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
