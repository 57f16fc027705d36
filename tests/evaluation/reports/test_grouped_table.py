"""Markdown and LaTeX of tables, parsed again."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, latex, markdown

TWO_ROWS = GroupedTable(
    "table_2",
    "p < 0.05; 50 % of hr_ctv & “more”: 1 ± 2 cm³, η² {x} ~ ^ \\ #1 $2 †",
    (
        (Head("structure"), Head("hr_ctv", 2), Head("a|b", 2)),
        tuple(map(Head, ("pretraining", "no", "yes", "no", "yes"))),
    ),
    (
        ((Cell("DSC"), Cell("0.76 ± 0.14"), Cell("0.84 ± 0.07", True, "†"), Cell("0.5"), Cell("0.6", True, "*")),),
        ((Cell("HD95 (mm)"), Cell("9.2"), Cell("–"), Cell("−1"), Cell("100 %")),),
    ),
)


def parsed(text: str) -> tuple[list[list[str]], str]:
    """Return the rows of the tabular and its caption; fail if braces, environments or columns don't match."""
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#~†±<>ηχ³²](?![^$]*\$)", re.sub(r"\$[^$]*\$", "", bare))
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        *[("begin", "table"), ("begin", "tabular")],
        *[("end", "tabular"), ("end", "table")],
    ]
    columns, inside = re.search(r"\\begin\{tabular\}\{([lr]+)\}(.*)\\end\{tabular\}", text, re.DOTALL).groups()
    assert re.findall(r"\\(\w+rule)", inside)[0] == "toprule"
    assert re.findall(r"\\(\w+rule)", inside)[-1] == "bottomrule"
    rows = []
    for line in inside.strip().splitlines():
        if line.startswith("\\") and line.endswith("rule"):
            continue
        assert line.endswith(r" \\")
        cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
        spans = [int(match[1]) if (match := re.match(r"\s*\\multicolumn\{(\d+)\}", cell)) else 1 for cell in cells]
        assert sum(spans) == len(columns)
        rows.append([cell.strip() for cell in cells])
    return rows, re.search(r"\\caption\{(.*)\}\n", text)[1]


def test_latex() -> None:
    rows, caption = parsed(latex(TWO_ROWS))
    assert rows[0] == ["structure", r"\multicolumn{2}{c}{hr\_ctv}", r"\multicolumn{2}{c}{a$|$b}"]
    assert rows[2][1:3] == [r"0.76 $\pm$ 0.14", r"\textbf{0.84 $\pm$ 0.07}$^{\dagger}$"]
    assert rows[2][4] == r"\textbf{0.6}$^{*}$"
    assert rows[3][3:] == ["$-$1", r"100 \%"]
    assert r"50 \% of hr\_ctv \& " in caption
    assert r"cm$^{3}$, $\eta$$^{2}$ \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \#1 \$2" in caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    page = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "page.tex").write_text(page % latex(TWO_ROWS), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "Missing character" not in result.stdout


def test_markdown() -> None:
    lines = markdown(TWO_ROWS).splitlines()
    assert lines[0] == r"| structure, pretraining | hr\_ctv, no | hr\_ctv, yes | a\|b, no | a\|b, yes |"
    assert lines[2] == r"| DSC | 0.76 ± 0.14 | **0.84 ± 0.07**† | 0.5 | **0.6**\* |"
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines[:4]}) == 1
    assert lines[5].startswith(r"p \< 0.05; 50 % of hr\_ctv")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]) | st.sampled_from("±†×–²³ηχ"), max_size=30))
def test_any_name_of_a_model(name: str) -> None:
    table = GroupedTable("t", name, ((Head("model"), Head("DSC")),), (((Cell(name), Cell("1", True, "*")),),), texts=1)
    rows, _ = parsed(latex(table))
    assert rows[1][1] == r"\textbf{1}$^{*}$"
    first = markdown(table).splitlines()[2]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", first)) == 3


def test_headings_join_both_rows() -> None:
    assert TWO_ROWS.flat_heads[1:3] == ("hr_ctv, no", "hr_ctv, yes")
    with pytest.raises(ValueError, match="zip"):
        GroupedTable("t", "", ((Head("a", 2),), (Head("b"),)), ()).flat_heads  # noqa: B018
