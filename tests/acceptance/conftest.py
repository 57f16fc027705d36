"""Running the command line as a user does, in this process; small inputs for it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.cli import main
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan


@dataclass(frozen=True)
class CommandResult:
    """Result of a command: exit code and output."""

    code: int
    out: str
    err: str


@pytest.fixture
def gynbtnet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandResult]:
    """Function that runs ``gynbtnet ARGUMENTS`` and returns the result."""

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["gynbtnet", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return CommandResult(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder whose network is not trained."""
    folder = tmp_path_factory.mktemp("model")
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    save_plan(Plan(("bladder",), (4.0, 3.0, 3.0), "zscore", None, (16, 32, 32), 2, "XS", strides), folder)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=2).state_dict(), folder / "weights_last.safetensors")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public scans next to the checkout; a test that needs them is skipped if it is absent."""
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real scans are not at {folder}")
    return folder
