"""The page on adding a metric: its code runs, and its changes work in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "contributing" / "metric.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_code_of_the_page_runs(scanned, predicted) -> None:
    code = blocks("python")
    assert len(code) == 4
    names: dict[str, Any] = {"__name__": "metric_page"}
    exec("\n".join(code), names)
    table = names["jaccard_table"](scanned, predicted)
    bladder = table[table["structure"] == "bladder"]
    # The bladder is 8 voxels wide: a shift by n leaves 8 − n in common, and 8 + n in the union.
    assert list(bladder["jaccard"]) == pytest.approx([8 / 8, 7 / 9, 6 / 10, 5 / 11])
    mean, low, high = names["mean_with_interval"](bladder)
    assert mean == pytest.approx(np.mean([8 / 8, 7 / 9, 6 / 10, 5 / 11]))
    assert low < mean < high


SCRIPT = """
import numpy as np
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.metrics import score_case
from gynbtnet.evaluation.metrics.score_table import markdown_table, summarise_scores
from gynbtnet.imaging import Geometry
from gynbtnet.imaging import Segmentation, Volume

truth, prediction = np.zeros((2, 4, 4, 4), np.uint8)
truth[0, 0, :4] = 1
prediction[0, 0, 2:] = 1
prediction[0, 1, 2] = 1
truth[3, 3, 3] = 2
pair = (Segmentation(Volume(labels, Geometry((4, 4, 4))), ("bladder", "rectum")) for labels in (truth, prediction))
scores = score_case(*pair, case="p1_f1", patient="p1")
print(*(score.jaccard for score in scores))
print(markdown_table(summarise_scores(scores)))
print(ComparisonSettings(metrics=("jaccard",)).metrics)
"""


def test_the_changes_of_the_page_add_the_metric(tmp_path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    changes = blocks("diff")
    assert len(changes) == 9
    for change in changes:
        header, *lines = change.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if not line.startswith(sign)) for sign in ("+", "-"))
        path = tmp_path / header.removeprefix("# ")
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{header} does not contain once: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, encoding="utf-8", check=True
    )
    values, *table, comparable = ended.stdout.strip().splitlines()
    assert values == "0.4 0.0"  # the rectum is missed
    heads, bladder = ([cell.strip(" |") for cell in table[row].split(" | ")] for row in (0, 2))
    assert table[2].startswith("| Bladder | ")
    assert bladder[heads.index("Jaccard")].split(";")[0] == "0.400"
    assert comparable == "('jaccard',)"


def test_the_files_of_the_page_exist() -> None:
    paths = set(re.findall(r"`?((?:src|tests|docs|benchmarks)/[\w/.-]+\.(?:py|md))", PAGE))
    assert len(paths) == 8
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
