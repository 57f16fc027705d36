"""Tests of the checker for plain words: each rule finds its case and accepts the idiomatic sentence."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_checker() -> ModuleType:
    """Import tools/plain_words.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("plain_words", Path(__file__).parents[2] / "tools" / "plain_words.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


checker = load_checker()


def rules_of_docstring(docstring: str) -> list[str]:
    blocks = checker.docstring_blocks(Path("src/module.py"), 1, docstring)
    return [violation.rule for block in blocks for violation in checker.check_block(block)]


def violations_of(name: str, text: str) -> list[str]:
    """Return ``line: rule`` of each violation in a file of this name."""
    path = Path(name)
    blocks = checker._READERS[path.suffix](path, text)
    return [f"{v.line}: {v.rule}" for block in blocks for v in checker.check_block(block)]


@pytest.mark.parametrize(
    ("dialect", "word"),
    [
        ("Return what the table told.", "told"),
        ("Read the scans that the table tells apart.", "tells apart"),
        ("Return the note that the header says.", "says"),
        ("Check the file that stands in the folder.", "stands"),
        ("Return the letter that stands for the axis.", "stands for"),
        ("Return the voxels that lie in the body.", "lie"),
        ("Compute the sum anew.", "anew"),
        ("Check that both are alike.", "alike"),
        ("Read the masks besides the image.", "besides"),
        ("Write the mask beside the image.", "beside"),
        ("Return a mended label map.", "mended"),
        ("Count the pieces of a structure.", "pieces"),
        ("Return the logits and hand them on.", "hand them on"),
        ("Return the folder whence it came.", "whence"),
        ("Return the name that a patient goes by.", "goes by"),
        ("Write whatever is left.", "whatever"),
        ("Write a row a patient.", "a row a patient"),
        ("Start one process a core.", "one process a core"),
        ("Return of each voxel the logits.", "of each voxel the logits"),
        ("Raise an error if this is no folder.", "is no folder"),
        ("Write it to a folder of its own.", "of its own"),
        ("Omit structures that may be left away.", "left away"),
        ("Use the spacing where the plan has one.", "where the"),
        ("Return 0 where there is no structure.", "where there"),
        ("Resample it where necessary.", "where necessary"),
    ],
)
def test_banned_words_are_found(dialect: str, word: str) -> None:
    assert [rule.split(" → ")[0] for rule in rules_of_docstring(dialect)] == [word]


@pytest.mark.parametrize(
    "idiomatic",
    [
        "Return one row per patient.",
        "Use the spacing of the plan if it has one.",
        "Return the folder where the weights are stored.",
        "Select values with ``np.where`` where ``lies`` is set.",
        "Return the voxels where the mask is set.",
        "Use a stand-alone program at the bedside.",
        "Contour the target by hand on each slice.",
        "Resample in place and round to 2 decimal places.",
        "Return None if there is no folder.",
        "Describe a trapezoid, an underlying idea and a handful of files.",
        "Compare a patient a few times.",
        'Use the kind "told" or “lies”.',
        "Return the Dice coefficient (as Isensee et al. 2021 told).",
    ],
)
def test_idiomatic_sentences_are_accepted(idiomatic: str) -> None:
    assert rules_of_docstring(idiomatic) == []


@pytest.mark.parametrize("word", ["What", "Which", "Where", "Whether", "How", "Of", "That", "Who", "Whose"])
def test_summaries_do_not_open_with_a_relative_word(word: str) -> None:
    assert any(rule.startswith(f"summary opens with {word}") for rule in rules_of_docstring(f"{word} it means."))


def test_only_the_summary_may_not_open_with_a_question() -> None:
    assert rules_of_docstring("Return the plan.\n\n    How it is made is in the docs.\n    ") == []
    assert rules_of_docstring("Return it.\n\n    Of all models it is the best.") == [
        "sentence opens with Of → subject first"
    ]


def test_entries_of_sections_are_noun_phrases() -> None:
    docstring = """Return the volume.

    Args:
        path: where masks are.
        mask: mask (z, y, x); True
            inside the body.

    Raises:
        BadInput: If the file is missing.
    """
    assert rules_of_docstring(docstring) == ["entry opens with where → noun phrase"]


def test_long_sentences_are_found_with_their_line() -> None:
    long = " ".join(["word"] * 26) + "."
    assert violations_of("src/a.py", f'"""Return it.\n\n{long}\n"""\n') == ["3: sentence of 26 words → at most 25"]
    assert violations_of("docs/a.md", long) == [], "the share is printed, nothing fails"


@pytest.mark.parametrize(
    "short",
    [
        "Return it, e.g. from Fig. 3 of Smith et al. for 0.5 mm. A " + " ".join(["word"] * 20) + ".",
        " ".join(["word"] * 25) + " (Dosimann et al. 2019, Journal of Long Titles 12:345–367, table 2, last row).",
        " ".join(["word"] * 25) + " ``with some code`` https://example.org/a/b doi:10.1000/abc.",
        "Return it:\n\n    - " + " ".join(["word"] * 40),
        "Return it::\n\n        " + " ".join(["word"] * 40),
        "Return it.\n\n    | " + " ".join(["word"] * 40) + " |",
    ],
)
def test_code_references_and_lists_do_not_count(short: str) -> None:
    assert rules_of_docstring(short) == []


def test_abbreviations_do_not_end_a_sentence() -> None:
    sentence = " ".join(["word"] * 13) + ", e.g. Word " + " ".join(["word"] * 12) + "."
    assert rules_of_docstring(sentence) == ["sentence of 27 words → at most 25"]


def test_messages_help_and_comments_of_the_source_are_read() -> None:
    source = '''"""Module."""

from typer import Option

LIMIT = 3  # what the table told
LIMITS = 3
"""Limits, as they are told."""
path = "a/b"
help = Option("--told", help="Told by all.")
note = f"{path} was told of {LIMIT} scans"
key = "told"


def fail() -> None:
    """Raise an error."""
    raise ValueError(f"{path}: one " "lies.")
'''
    violations = violations_of("src/a.py", source)
    assert [rule.split(" → ")[0] for rule in sorted(violations, key=lambda rule: int(rule.split(":")[0]))] == [
        "5: told",
        "7: told",
        "9: Told",
        "10: told",
        "16: lies",
    ]
    assert [rule.split(" → ")[0] for rule in violations_of("tests/a.py", source)] == ["7: told"]


def test_comments_of_recipes_are_read() -> None:
    assert violations_of("recipe.yaml", "a: 1 # fine\n# told\nb: 'lies'\n") == [
        "2: told → reported, given, known, show"
    ]


def test_pages_are_read_without_code() -> None:
    page = "# Title\n\nText `told`.\n\n```\ntold\n```\n\n- item: it\n  lies [there](lies.md)\n\n| a | told |\n"
    assert [rule.split(" → ")[0] for rule in violations_of("docs/a.md", page)] == ["10: lies", "12: told"]


def test_measures() -> None:
    text = '"""What it is.\n\nIf it is told, where and how. One two three four five six seven eight.\n"""\n'
    measures = checker.measure(list(checker.python_blocks(Path("src/a.py"), text)))
    assert measures.words == 18
    assert (measures.where, measures.conditions, measures.tell) == pytest.approx((1000 / 18,) * 3)
    assert measures.openings == 1
    assert not measures.within_limits
    assert checker.measure([]).within_limits


def test_command_reports_paths_and_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    module = tmp_path / "src" / "a.py"
    module.write_text('"""Reader of tables."""\n', encoding="utf-8")
    assert checker.main([]) == 0
    module.write_text('"""Reader of tables.\n\nIt is told.\n"""\n', encoding="utf-8")
    assert checker.main([]) == 1
    assert "src/a.py:3: told → reported, given, known, show: It is told." in capsys.readouterr().out.replace("\\", "/")
    assert checker.main(["--measures", "src"]) == 0


def test_generated_text_is_skipped() -> None:
    page = "It stands here.\n\n<!-- generated -->\nIt stands there.\n<!-- /generated -->\n\nIt stands again.\n"
    assert [violation.split(":")[0] for violation in violations_of("docs/page.md", page)] == ["1", "7"]
