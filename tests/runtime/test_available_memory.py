"""Available memory: of the machine, of control groups (containers, batch jobs), and by ulimit."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from gynbtnet.runtime import available_memory
from gynbtnet.runtime.available_memory import available_bytes, check_memory
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.parallel import map_scans

cli_app = importlib.import_module("gynbtnet.cli.application")  # the package shows its Typer under the same name
FREE = 64 * 10**9


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for control groups, on a machine with 64 GB free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))
    return tmp_path


def available_in(folder: Path) -> int:
    """Return the available bytes of a process whose control groups are in ``folder``."""
    return available_bytes(folder, folder / "own")


def write(folder: Path, **values: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_without_control_groups_it_is_what_the_machine_has(machine: Path) -> None:
    assert available_in(machine) == FREE
    (machine / "own").write_text("0::/job\n")  # named, and not there
    assert available_in(machine) == FREE


@pytest.mark.parametrize("limited", ["job/step", "job", ""])
def test_the_least_of_all_groups_above_counts(machine: Path, limited: str) -> None:
    (machine / "own").write_text("0::/job/step\n")
    statistics = "anon 5\ninactive_file 1000000000"
    for folder in ("job/step", "job", ""):
        most = 8 * 10**9 if folder == limited else "max"
        write(machine / folder, memory__max=most, memory__current=3 * 10**9, memory__stat=statistics)
    assert available_in(machine) == 6 * 10**9  # of its 3 GB one is cache that can be given back


def test_a_group_of_version_1(machine: Path) -> None:
    (machine / "own").write_text("5:cpu,cpuacct:/slurm\n4:memory:/slurm\n0::/\n")
    for folder, most in (("slurm", 4 * 10**9), ("", 9223372036854771712)):
        write(
            machine / "memory" / folder,
            memory__limit_in_bytes=most,
            memory__usage_in_bytes=10**9,
            memory__stat="total_inactive_file 0",
        )
    assert available_in(machine) == 3 * 10**9


def test_a_group_that_is_over_its_limit_leaves_nothing(machine: Path) -> None:
    (machine / "own").write_text("0::/job\n")
    write(machine / "job", memory__max=10**9, memory__current=2 * 10**9, memory__stat="inactive_file 0")
    assert available_in(machine) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v binds on Linux only")
def test_ulimit_counts() -> None:
    code = "from gynbtnet.runtime.available_memory import available_bytes; print(available_bytes())"
    shell = f"ulimit -v 2000000; exec '{sys.executable}' -c '{code}'"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert 0 < int(ended.stdout) < 2_000_000 * 1024


def test_memory_that_runs_out_all_the_same_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (MemoryError("Unable to allocate 9 GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        monkeypatch.setattr(cli_app, "app", Mock(side_effect=error))
        with pytest.raises(SystemExit) as ended:
            cli_app.main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("gynbtnet: Memory ran out; crop the scan")
        assert said.count("\n") == 1
    monkeypatch.setattr(cli_app, "app", Mock(side_effect=RuntimeError("a fault of ours")))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli_app.main()


def test_a_scan_that_runs_out_of_memory_does_not_stop_the_others() -> None:
    def work(scan: int) -> int:
        if scan == 1:
            raise MemoryError("Unable to allocate 9 GiB")
        return scan

    with pytest.raises(ScansFailed) as failed:
        map_scans(work, [0, 1, 2], name=str, title="Working")
    ((name, reason),) = failed.value.failed
    assert (name, reason.split(";")[0]) == ("1", "Memory ran out (Unable to allocate 9 GiB)")


def test_the_sentence_has_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 3 * 10**9)
    check_memory(3e9, "A scan", "crop it")
    with pytest.raises(BadInput, match=r"^A scan needs about 4\.5 GB of memory, and 3\.0 GB are available; crop it\.$"):
        check_memory(4.5e9, "A scan", "crop it")
    with pytest.raises(BadInput, match=r"needs about 682,796\.7 GB of memory"):
        check_memory(621 * 2**40, "A scan", "crop it")
