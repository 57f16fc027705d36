"""Mutated models, cohorts, splits, recipes and tables: each is read or refused in one sentence, and nothing else.

Two kinds of mutation, from fixed seeds: bytes of the file, and values within its JSON or YAML.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from gynbtnet.datasets import Case, Cohort, PatientKey, PatientTable, Source, Split
from gynbtnet.evaluation import EMBRACE_II, PlanningAims, parse_external_beam
from gynbtnet.imaging import Geometry, StructureNames, Volume, write_volume
from gynbtnet.inference import QUALITY_FILE, Model, Quality
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Fingerprint, Intensity, Plan, PostprocessingRule, StructureVolume, load_plan, save_plan
from gynbtnet.recipes import RECIPE_FOLDER, load_recipe
from gynbtnet.runtime import BadInput

ODD_VALUES: list[Any] = [
    *(None, True, "", "x" * 1000, "../../x", "\x00\n", -1, 0, 1, 10**30, 1e308, -0.5, 1e-300, [], {}, [[]]),
    *([1, 2], {"a": 1}, [0, 0, 0], [1e9, 1e9, 1e9], "ct", "nan", "[]"),
]
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
PLAN = Plan(
    structures=("bladder", "rectum"),
    spacing=(2.0, 2.0, 2.0),
    normalisation="ct",
    intensities=(Intensity(40, 60, -100, 300, 41, -500, 1500),),
    patch_size=(16, 32, 32),
    batch_size=2,
    preset="XS",
    strides=STRIDES,
    volumes=(StructureVolume("bladder", 5, 120.0, 0.4),),
    postprocessing=(PostprocessingRule("rectum", largest_component=True),),
)


def with_odd_value(values: Any, drawn: random.Random) -> Any:
    """Return a copy in which one value is replaced, removed or repeated."""
    values = json.loads(json.dumps(values, default=str))
    parent = values
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            return values
        key = drawn.choice(keys)
        if isinstance(parent[key], dict | list) and parent[key] and drawn.random() < 0.8:
            parent = parent[key]
            continue
        if drawn.random() < 0.15:
            del parent[key]
        elif isinstance(parent, list) and drawn.random() < 0.2:
            parent.append(parent[key])
        else:
            parent[key] = drawn.choice(ODD_VALUES)
        return values


def with_odd_bytes(content: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(changed))
        match drawn.randrange(4):
            case 0:
                changed[at] = drawn.randrange(256)
            case 1:
                del changed[at : at + drawn.randint(1, 20)]
            case 2:
                changed[at:at] = drawn.choice([b"{", b"[", b"9" * 30, b"\n", b"\x00", b'"', b"- ", b"&a ", b"*a", b","])
            case 3:
                del changed[at:]
        if not changed:
            break
    return bytes(changed)


def read_or_refused(read: Callable[[], object], what: str) -> None:
    try:
        read()
    except BadInput as error:
        assert "\n" not in str(error), f"{what}: {error}"
        assert len(str(error)) < 3000, what
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error


def attack(path: Path, read: Callable[[], object], times: int, *, kind: str | None = None) -> None:
    """Mutate the file at ``path`` ``times`` times, read each, and put it back."""
    whole = path.read_bytes()
    parse: Any = {"json": json.loads, "yaml": yaml.safe_load, None: None}[kind]
    write: Any = {"json": json.dumps, "yaml": yaml.safe_dump, None: None}[kind]
    for seed in range(times):
        drawn = random.Random(f"{path.name} {seed}")
        if parse is not None and seed % 3:
            mutated = write(with_odd_value(parse(whole), drawn)).encode()
        else:
            mutated = with_odd_bytes(whole, drawn)
        path.write_bytes(mutated)
        read_or_refused(read, f"{path.name}, seed {seed}")
    path.write_bytes(whole)
    read()


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    grid = Geometry((2, 3, 4), (2.0, 1.0, 1.0))
    cases = []
    for patient in "abcd":
        image = tmp_path / "cohort" / "imagesTr" / f"{patient}_f1_0000.nii.gz"
        write_volume(Volume(np.zeros(grid.shape, np.int16), grid), image)
        cases.append(Case(patient, 1, f"{patient}_f1", (image,), None, Source(Path("/x"), "1.2.3"), grid))
    Cohort("name", ("bladder",), tuple(cases), tmp_path / "cohort").save()
    return tmp_path / "cohort"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_plan(PLAN, tmp_path / "model")
    torch.manual_seed(0)
    weights = GynBTNet("XS", outputs=3, strides=STRIDES).state_dict()
    save_file(weights, tmp_path / "model" / "weights_last.safetensors")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_plans(tmp_path: Path, name: str) -> None:
    save_plan(PLAN, tmp_path)
    attack(tmp_path / name, lambda: load_plan(tmp_path), 250, kind="json")


def test_fingerprints(tmp_path: Path) -> None:
    shape, spacing = (30, 200, 200), (3.0, 1.0, 1.0)
    Fingerprint(("CT",), ("bladder",), (spacing,), (shape,), PLAN.intensities).save(tmp_path)
    path = next(tmp_path.glob("*.json"))
    attack(path, lambda: Fingerprint.load(tmp_path), 150, kind="json")


def test_cohorts(cohort: Path) -> None:
    attack(cohort / "cohort.json", lambda: Cohort.load(cohort), 250, kind="json")


def test_splits(tmp_path: Path, cohort: Path) -> None:
    path = tmp_path / "split.json"
    Split(("a",), (("b",), ("c", "d")), 0).save(path)
    loaded = Cohort.load(cohort)

    def read() -> None:
        split = Split.load(path)
        split.check(loaded)
        split.training_patients(0)

    attack(path, read, 200, kind="json")


@pytest.mark.parametrize("name", ["demo", "task", "pretrain", "small/cpu"])
def test_recipes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes((RECIPE_FOLDER / f"{name}.yaml").read_bytes())
    attack(path, lambda: load_recipe(path), 120, kind="yaml")


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("folder,patient,fraction,applicator\na,one,1,tandem and ring\nb,two,2,\n")
    attack(path, lambda: PatientTable.load(path, [tmp_path]), 150)
    beams = tmp_path / "beams.csv"
    beams.write_text("patient,dose_gy,fractions\na,45,25\nb,50.4,28\n")
    attack(beams, lambda: parse_external_beam(str(beams), ["a", "b"]), 150)
    key = tmp_path / "key.csv"
    PatientKey.load(key).with_patients(["x", "y"]).save()
    attack(key, lambda: PatientKey.load(key), 150)


def test_aims_and_aliases(tmp_path: Path) -> None:
    path = tmp_path / "aims.yaml"
    path.write_bytes(EMBRACE_II.read_bytes())
    attack(path, lambda: PlanningAims.load(path), 100, kind="yaml")
    aliases = tmp_path / "aliases.yaml"
    aliases.write_text("hr_ctv: [CTV MR, 'HR CTV D1']\nbladder: [Blase]\n")
    attack(aliases, lambda: StructureNames.load(aliases), 150, kind="yaml")


def test_calibrations(tmp_path: Path) -> None:
    path = tmp_path / QUALITY_FILE
    volume = {"structure": "bladder", "patients": 9, "median_cm3": 90, "spread": 0.3}
    bladder = {"structure": "bladder", "patients": 9, "volume": volume, "from_shape": None, "from_agreement": None}
    path.write_text(json.dumps({"passes": "one", "structures": [bladder]}))
    attack(path, lambda: Quality.load(tmp_path), 150, kind="json")


def test_models(model: Path) -> None:
    """A model whose weights are mutated is used only if all of them are finite."""
    path = model / "weights_last.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    for seed in range(60):
        drawn = random.Random(seed)
        at = drawn.randrange(8 + length)
        mutated = bytearray(whole)
        mutated[at] = drawn.randrange(256)
        if seed % 3 == 0:
            mutated[8 + length + drawn.randrange(1000) * 4 + 3] = 0x7F  # an exponent of all ones: NaN or infinite
            mutated[8 + length + drawn.randrange(1000) * 4 + 2] |= 0x80
        path.write_bytes(mutated)

        def read() -> None:
            loaded = Model.load(model)
            assert all(bool(torch.isfinite(values).all()) for values in loaded.network.state_dict().values())

        read_or_refused(read, f"weights, seed {seed}")


def test_a_large_plan_for_small_weights_is_refused_before_it_takes_memory(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = json.loads((model / "plans.json").read_text())
    architecture = plans["configurations"]["3d_gynbtnet"]["architecture"]["arch_kwargs"]
    architecture.update(preset="L", strides=[[1, 1, 1], *[[2, 2, 2]] * 4, [1, 1, 1]])
    plans["configurations"]["3d_fullres"]["patch_size"] = [32, 32, 32]
    (model / "plans.json").write_text(json.dumps(plans))
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: pytest.fail("weights were loaded"))
    drawn: list[int] = []
    uniform = torch.Tensor.uniform_
    monkeypatch.setattr(
        torch.Tensor,
        "uniform_",
        lambda self, *bounds, **generator: (
            drawn.append(0 if self.is_meta else self.numel()) or uniform(self, *bounds, **generator)
        ),
    )
    with pytest.raises(BadInput, match="does not hold the weights of the plan in its folder"):
        Model.load(model)
    assert sum(drawn) == 0
