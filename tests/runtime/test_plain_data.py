"""JSON and YAML within limits: everything is plain values or one sentence, in little time and memory."""

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.runtime.plain_data import MAX_JSON_BYTES, PlainDataError, load_json, load_yaml, parse_json, parse_yaml

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_json_comes_back(values) -> None:
    assert parse_json(json.dumps(values).encode()) == values


@given(PLAIN)
def test_yaml_comes_back(values) -> None:
    assert parse_yaml(yaml.safe_dump(values)) == values


def test_aliases_merge_keys_and_dates_stay_usable() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }


def bomb(levels: int, of: str = "[{}]") -> str:
    lines = ["a0: &a0 " + of.format(", ".join(["x"] * 9))]
    lines += [f"a{i}: &a{i} " + of.format(", ".join([f"*a{i - 1}"] * 9)) for i in range(1, levels)]
    return "\n".join(lines)


MERGES = "a0: &a0 {x: [1, 2, 3]}\n" + "\n".join(f"a{i}: &a{i} {{<<: *a{i - 1}, p: *a{i - 1}}}" for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(9), "expands to more than"),
        (bomb(30), "expands to more than"),
        (MERGES, "expands to more than"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {b: {c: *a}}", "contains itself"),
        ("[" * 2000, "not YAML|levels deep"),
        ("[" * 70 + "]" * 70, "levels deep"),
        ("- " * 100 + "x", "levels deep"),
        ("a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 90)), "levels deep"),
        ("a: 1\nb: 2\na: 3", "'a' twice, at line 3"),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
        ("x: 2026-13-45", "not YAML"),
        ("x: !!bool maybe", "not YAML"),
        ("x: !!timestamp never", "not YAML"),
        ("x: " + "9" * 5000, "not YAML"),
        ("x: *nobody", "not YAML"),
        ("? [1, 2]\n: 3", "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: [1, 2", "not YAML, at line"),
        ("[" + "x," * 200_000 + "]", "expands to more than"),
        ("x" * (2**20 + 1), "more than the 1 MB"),
    ],
)  # fmt: skip
def test_hostile_yaml_is_refused(text: str, words: str) -> None:
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(PlainDataError, match=words):
        parse_yaml(text)
    assert time.process_time() - started < 5  # a bound, far from what it takes: the bombs took 30 s and more
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000  # kB


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[NaN]", "NaN"),
        (b'{"a": [-Infinity]}', "-Infinity"),
        (b"[1e999]", "1e999"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b"[" * 100_000, "levels deep"),
        (b"[" * 70 + b"]" * 70, "levels deep"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "levels deep"),
        (b"9" * 5000, "not JSON"),
        (b"", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"\xff\xfe\xff", "not UTF-8 text|not JSON"),
        (b'{"a": 1', "not JSON"),
    ],
)
def test_hostile_json_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(PlainDataError, match=words):
        parse_json(text)


def test_mutated_documents_never_raise_anything_else() -> None:
    drawn = random.Random(1)
    start = "a: &x {b: [1, 2.5, ~], c: 'é'}\nd: [*x, !!set {k}, 2026-01-02]\ne: |\n  text\n"
    for _ in range(400):
        characters = list(start)
        for _ in range(drawn.randint(1, 6)):
            characters[drawn.randrange(len(characters))] = drawn.choice("{}[]&*!|>'\":,-?~\n #x1\t%@`")
        for parse, text in ((parse_yaml, "".join(characters)), (parse_json, "".join(characters).encode())):
            try:
                parse(text)  # type: ignore[arg-type]
            except PlainDataError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("load", [load_json, load_yaml])
def test_a_file_of_any_size_is_refused_before_it_is_read(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole, that takes no space on the disk
    before = time.process_time()
    with pytest.raises(PlainDataError, match="MB allowed"):
        load(path)
    assert time.process_time() - before < 1


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(PlainDataError, match="MB allowed"):
        load_yaml(Path("/dev/zero"))


def test_files_within_the_limits_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"a": [1, 2.5, "é"]}', encoding="utf-8")
    assert load_json(tmp_path / "a") == load_yaml(tmp_path / "a") == {"a": [1, 2.5, "é"]}
    assert MAX_JSON_BYTES > 10**8
