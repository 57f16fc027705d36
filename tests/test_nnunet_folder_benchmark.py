"""A trained folder by our command and by nnU-Net's own: the same labels, in less time."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "nnunet_folders.py"
SMALL = ["--matrix", "32", "112", "128", "--pixel", "3", "--features", "8", "16", "32", "--patch", "16", "32", "32"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--no-mirroring"], ["--no-mirroring", "--network", "ResidualEncoderUNet"]])
def test_labels_and_time_of_both_commands(options: list[str]) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *SMALL, *options], capture_output=True, text=True, check=True)
    rows = re.findall(r"\| `(.+)` \| .* \| ([\d.]+)× \| ([\d.]+)× \| ([\d.]+)% \|", done.stdout)
    assert [name for name, *_ in rows] == ["nnUNetv2_predict", "gynbtnet predict --roi whole", "gynbtnet predict"]
    for name, _, cpu, equal in rows[1:]:
        assert float(equal) >= 99.9, name
        assert float(cpu) > 1, name
