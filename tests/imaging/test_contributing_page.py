"""The page on adding a structure: its steps work in a copy of the package, and the files that it names exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing" / "structure.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_steps_of_the_page_add_a_structure(tmp_path: Path) -> None:
    aliases, entry, aims = code_blocks("yaml")
    assert aliases.startswith("# aliases.yaml")
    package = shutil.copytree(
        ROOT / "src" / "gynbtnet", tmp_path / "src" / "gynbtnet", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (package / "imaging" / "structure_names.yaml").open("a", encoding="utf-8") as table:
        table.write(entry)
    (tmp_path / "my_aims.yaml").write_text(aims, encoding="utf-8")
    (tmp_path / "aliases.yaml").write_text(aliases, encoding="utf-8")
    clinic = "names = StructureNames.load(Path('aliases.yaml'))\nassert names.resolve('gbl') == 'gallbladder'\n"
    (tmp_path / "check.py").write_text("\n".join([*code_blocks("python"), clinic]), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    result = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "RS.dcm").is_file()


def test_the_files_of_the_page_exist() -> None:
    paths = re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", PAGE) + re.findall(r"\btests/[\w/]+\.py", PAGE)
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = (ROOT / "src/gynbtnet/imaging/targets.py").read_text(encoding="utf-8")
    assert "_KINDS = " in targets and "_TARGET = " in targets and "def target_depth(" in targets
