"""Peak memory of predicting a scan of the whole trunk with many structures, in a separate process."""

import subprocess
import sys

import pytest

PREDICT = """
import numpy as np, torch
from pathlib import Path
from gynbtnet.imaging import Geometry
from gynbtnet.imaging import Volume
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.preparation import Plan
from gynbtnet.training import build_network

class Decided(torch.nn.Module):
    "Computes what the network does, and says instead which of 105 bins a grey value is in: its weights are random."
    def __init__(self, network):
        super().__init__()
        self.network = network
    def forward(self, image):
        logits = self.network(image).zero_()
        for i, level in enumerate(torch.linspace(-2, 2, 105)):
            logits[:, i] -= (image[:, 0] - level).abs()
        return logits

plan = Plan(
    structures=tuple(f"structure_{i}" for i in range(104)), spacing=(1.5, 1.5, 1.5), normalisation="zscore",
    intensities=None, patch_size=(80, 160, 160), batch_size=2, preset="XS", strides=((1, 1, 1), *[(2, 2, 2)] * 4),
)
network = build_network(plan, deep_supervision=False).eval().requires_grad_(False)
geometry = Geometry((600, 512, 512), (1.0, 0.977, 0.977))
scan = np.full(geometry.shape, -1024, np.int16)
y, x = np.ogrid[:512, :512]
inside = ((y - 256) / 170) ** 2 + ((x - 256) / 230) ** 2 < 1
scan[:, inside] = (200 * np.sin(np.arange(600) / 40)[:, None] + np.linspace(-100, 300, inside.sum())).astype(np.int16)
model = Model(folder=Path("."), weights="", sha256="", plan=plan, network=Decided(network), device=torch.device("cpu"))
labels = predict(model, Volume(scan, geometry), PredictionSettings(mirroring=False, overlap=0.0)).labels.array
assert len(np.unique(labels)) > 30, np.unique(labels)
status = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e9)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from Linux's /proc")
def test_104_structures_on_a_whole_trunk_within_6_gb() -> None:
    run = subprocess.run([sys.executable, "-c", PREDICT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 6
