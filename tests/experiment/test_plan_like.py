"""Stage 3 on scans prepared like the training of a folder of nnU-Net: the recipe's plan then doesn't count."""

from dataclasses import replace
from pathlib import Path

import pytest

from gynbtnet.experiment.single_stages import _check_prepared
from gynbtnet.networks import UNetArchitecture
from gynbtnet.preparation import Plan, PreparedCohort
from gynbtnet.recipes import load_recipe
from gynbtnet.runtime import BadInput

STRIDES = ((1, 1, 1), (2, 2, 2))
ARCHITECTURE = UNetArchitecture("PlainConvUNet", (8, 8), ((3, 3, 3),) * 2, STRIDES, depths=(1, 1), decoder_depths=(1,))


def test_only_the_structures_are_compared(tmp_path: Path) -> None:
    plan = Plan(
        ("bladder",), (2, 2, 2), "zscore", None, (8, 8, 8), 1, "PlainConvUNet", STRIDES,
        network="nnunet", architecture=ARCHITECTURE,
    )  # fmt: skip
    prepared = PreparedCohort("scans", (), plan, tmp_path, synthetic=True)
    settings = load_recipe("organs_at_risk").stage("task").plan
    _check_prepared(prepared, settings, ("bladder",))
    with pytest.raises(BadInput, match="structures"):
        _check_prepared(prepared, settings, ("rectum",))
    ours = Plan(("bladder",), (2, 2, 2), "zscore", None, (16, 32, 32), 1, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
    with pytest.raises(BadInput, match="prepared with"):
        _check_prepared(replace(prepared, plan=ours), settings, ("bladder",))
