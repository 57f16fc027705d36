"""The page on adding a network: its code runs, and the files that it names exist."""

import re
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing" / "network.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    names: dict[str, Any] = {"__name__": "network_page"}
    exec("\n".join(blocks), names)
    image = torch.randn(1, 1, 32, 32, 48)
    before = image.clone()
    logits = names["planned"](image)
    assert logits.shape == (1, 3, 32, 32, 48)
    with torch.inference_mode():
        assert torch.equal(names["planned"](image), logits)
    assert torch.equal(image, before)


def test_the_files_of_the_page_exist() -> None:
    paths = re.findall(r"`((?:src|tests)/[\w/.]+)`", PAGE)
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
    settings = (ROOT / "src/gynbtnet/preparation/planning/settings.py").read_text(encoding="utf-8")
    assert all(name in settings for name in ("NetworkName", "PresetName", "check_network", "check_patch"))
