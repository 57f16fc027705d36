"""Settings and data in files: what is read back, and one sentence for each damage."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from gynbtnet.runtime import BadInput, Settings, read_json
from gynbtnet.runtime.json_files import write_changed_json
from gynbtnet.runtime.settings_files import read_settings


class Light(Settings):
    """Settings with a range."""

    name: str
    watts: float = Field(60, gt=0)


class Room(Settings):
    """Settings with numbers in lists and mappings."""

    size: tuple[float, float, float] = (5, 4, 3)
    doors: dict[str, Annotated[int, Field(ge=0)]] = Field({})
    steps: tuple[tuple[int, int], ...] | None = None
    open: tuple[bool, ...] = ()
    lights: dict[str, Light] = Field({})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": [5, True, 3]}, "size\n.*true is not a number"),
        ({"doors": {"north": False}}, "doors\n.*false for north is not a number"),
        ({"steps": [[1, 2], [3, True]]}, "steps\n.*true is not a number"),
        ({"doors": {"north": 2**63}}, "doors\n.*expected a whole number below"),
        ({"steps": [[1, -(2**63)]]}, "steps\n.*expected a whole number below"),
        ({"lights": {"a": {"name": "a", "watts": True}}}, "watts\n.*true is not a number"),
    ],
)
def test_true_is_not_a_number_in_lists_and_mappings(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Room.model_validate(values)


def test_lists_of_true_and_false_remain() -> None:
    assert Room(open=(True, False)).open == (True, False)


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "light.yaml").write_text("name: hall\nwatts: 40\n", encoding="utf-8")
    assert read_settings(Light, tmp_path / "light.yaml", "light", "") == Light(name="hall", watts=40)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name: hall\nwatts: 0\n", "The light {} cannot be used (watts: Input should be greater than 0); mend it."),
        (b"name: hall\ncolour: 1\n", "The light {} cannot be used (colour: Extra inputs are not permitted); mend it."),
        (b"a list", "The light {} cannot be used (the whole file: Input should be a valid dictionary or"),
        (b"name: [", "The light {} cannot be read as YAML (it is not YAML"),
        (b"name: \xff\n", "The light {} cannot be read as YAML (it is not UTF-8 text); mend it."),
        (b"name: a\nwatts: yes\n", "The light {} cannot be used (watts: Value error, true is not a number); mend it."),
        (b"{name: hall, watts: 2,5}", "The light {} cannot be read as YAML (it has the key 5; write decimals with a"),
        (None, "There is no file {}; mend it."),
    ],
)
def test_each_damage_has_a_sentence(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "light.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_settings(Light, path, "light", "mend it")
    assert str(refused.value).startswith(sentence.format(path))


def test_a_decimal_comma_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "light.yaml").write_text("name: hall\nwatts: 2,5\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"watts: .*, write decimals with a point, such as 2\.5\); mend it\."):
        read_settings(Light, tmp_path / "light.yaml", "light", "mend it")


@dataclass(frozen=True)
class Count:
    """A number."""

    number: int


def test_an_equal_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    write_changed_json(Count(1), path)
    os.utime(path, (1, 1))
    write_changed_json(Count(1), path)
    assert path.stat().st_mtime == 1
    write_changed_json(Count(2), path)
    assert path.stat().st_mtime > 1 and read_json(Count, path, "") == Count(2)
