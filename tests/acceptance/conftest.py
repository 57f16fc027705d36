"""Running the command line as a user does, in this process; small inputs for it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

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


def exit_code(*arguments: object) -> int:
    """Run ``gynbtnet ARGUMENTS`` in this process and return its exit code."""
    with patch.object(sys, "argv", ["gynbtnet", *map(str, arguments)]):
        try:
            main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@pytest.fixture
def gynbtnet(capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandResult]:
    """Function that runs ``gynbtnet ARGUMENTS`` and returns the result."""

    def run(*arguments: object) -> CommandResult:
        capfd.readouterr()
        code = exit_code(*arguments)
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
