"""Notes on the results page of a comparison, and its table of the setup."""

from pathlib import Path

from gynbtnet.datasets import Cohort, Split
from gynbtnet.experiment.folders import ComparedModel
from gynbtnet.experiment.results_page import _setup, notes_on_folds
from gynbtnet.recipes import load_recipe, load_variants
from gynbtnet.runtime import write_json


def test_scores_out_of_fold_are_called_transductive_if_stage_1_saw_the_scans() -> None:
    demo = load_recipe("demo")
    (note,) = notes_on_folds(load_variants(["gynbtnet", "gynbtnet-from-scratch"], demo))
    assert "are transductive" in note
    assert "held out were in no stage" in note
    assert not list(notes_on_folds(load_variants(["gynbtnet-from-scratch", "nnunet"], demo)))


def test_software_and_machine_are_those_of_the_trainings(cohort: Cohort, tmp_path: Path) -> None:
    """Two folds on two machines; of each the last start counts. A third fold recorded nothing."""
    starts = [[{"torch": "1.0"}, {"torch": "2.0", "device": "cpu"}], [{"torch": "2.1", "device": "cuda:0"}], None]
    model = ComparedModel(tmp_path, "ours", frozenset())
    for fold, entries in enumerate(starts):
        run = model.run("task") / f"fold_{fold}"
        run.mkdir(parents=True)
        (run / "log.csv").touch()
        if entries:
            write_json(entries, run / "environment.json")
    split = Split(("p4",), (("p0", "p1"), ("p2", "p3")), 0)
    rows = dict(_setup(load_recipe("demo"), cohort, split, [model]))
    assert rows["trained with: torch"] == "2.0, 2.1, not recorded"
    assert rows["trained with: device"] == "cpu, cuda:0, not recorded"
    assert "page written" in rows and "finished" not in rows
