"""Stage 3 on scans prepared like the training of a folder of nnU-Net: the recipe's plan then doesn't count."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.experiment.single_stages import _check_prepared
from gynbtnet.imaging import Nesting, Regions
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
    with pytest.raises(BadInput, match=r"asks for overlapping outputs, but .* were prepared for exclusive ones"):
        _check_prepared(prepared, settings.model_copy(update={"outputs": "overlapping"}), ("bladder",))
    ours = Plan(("bladder",), (2, 2, 2), "zscore", None, (16, 32, 32), 1, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
    with pytest.raises(BadInput, match="prepared with"):
        _check_prepared(replace(prepared, plan=ours), settings, ("bladder",))


@pytest.mark.parametrize(
    ("overlapping", "changes", "words"),
    [
        (False, {"outputs": "auto"}, None),
        (False, {"outputs": "exclusive"}, None),
        (False, {"outputs": "overlapping"}, "asks for overlapping outputs, but .* were prepared for exclusive ones"),
        (True, {"outputs": "auto", "nesting": ("gtv < hr_ctv",)}, None),
        (True, {"outputs": "overlapping", "nesting": (" gtv<hr_ctv ",)}, None),
        (True, {"outputs": "exclusive"}, "asks for exclusive outputs, but .* were prepared for overlapping ones"),
        (False, {"nesting": ("gtv < hr_ctv",)}, "asks for overlapping outputs, but .* were prepared for exclusive"),
        (True, {"nesting": ("hr_ctv < gtv",)}, "nesting = hr_ctv < gtv, but .* were prepared with gtv < hr_ctv"),
        (True, {}, "nesting = none, but .* were prepared with gtv < hr_ctv"),
    ],
)
def test_outputs_and_nesting_are_those_of_the_plan(
    tmp_path: Path, overlapping: bool, changes: dict[str, Any], words: str | None
) -> None:
    structures = ("gtv", "hr_ctv")
    settings = load_recipe("smoke").stage("task").plan
    settings = settings.model_copy(update={"ct_scaling": None, **changes})
    plan = Plan(
        structures, settings.spacing, settings.normalisation, None, settings.patch_size, settings.batch_size,
        settings.preset, settings.resolved_strides(), regions=Regions.of(structures, ()) if overlapping else None,
        nesting=Nesting.parse(["gtv < hr_ctv"] if overlapping else []),
    )  # fmt: skip
    prepared = PreparedCohort("scans", (), plan, tmp_path, synthetic=True)
    _check_prepared(prepared, settings, None)
    with pytest.raises(BadInput, match=words) if words else nullcontext():
        _check_prepared(prepared, settings, structures)
