"""Options of ``gynbtnet tune`` that contradict each other or can't be read: one sentence before any scan is read."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "0"], "--budget 0 can't be used"),
        (["--budget", "1.5", "--unit", "steps"], "a whole number of steps"),
        (["--budget", "9", "--model", "nnunet", "--stage", "supervised"], "nnU-Net has no stages"),
        (["--budget", "9", "--set", "search.task.plan.batch_size=4"], "search.task.plan.batch_size in --set is 4"),
        (["--budget", "9", "--search", "absent.yaml"], "absent.yaml"),
        (["--budget", "9", "--set", "search.task={plan: 1}", "--set", "task.rate=1"], "task.rate in"),
        (["--budget", "9"], "There is no folder nowhere"),
    ],
)
def test_wrong_options(gynbtnet, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = gynbtnet("tune", "smoke", "--cohort", "nowhere", "--out", tmp_path / "out", *arguments)
    assert result.code == 2
    assert words in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()
