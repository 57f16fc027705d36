"""Notes on the results page of a comparison."""

from gynbtnet.experiment.results_page import notes_on_folds
from gynbtnet.recipes import load_recipe, load_variants


def test_scores_out_of_fold_are_called_transductive_if_stage_1_saw_the_scans() -> None:
    demo = load_recipe("demo")
    (note,) = notes_on_folds(load_variants(["gynbtnet", "gynbtnet-from-scratch"], demo))
    assert "are transductive" in note
    assert "held out were in no stage" in note
    assert not list(notes_on_folds(load_variants(["gynbtnet-from-scratch", "nnunet"], demo)))
