"""Fixtures for tests of several folders."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gynbtnet.datasets import Cohort

from .overlapping_patients import write_overlapping_cohort

if not torch.cuda.is_available():
    # Triton reads it at its first import, which several libraries cause, and then computes kernels on the CPU.
    os.environ.setdefault("TRITON_INTERPRET", "1")

CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder from which the workers of the cluster import modules."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def scheduler(cluster_folder: Path) -> Iterator[str]:
    """Address of a Dask cluster of two workers on this machine."""
    pytest.importorskip("distributed")
    (cluster_folder / "cluster.py").write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, "-W", "ignore", "cluster.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=cluster_folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(cluster_folder), os.environ.get("PYTHONPATH", "")])},
    )
    with cluster:
        assert cluster.stdin
        assert cluster.stdout
        try:
            yield cluster.stdout.readline().strip()
        finally:
            cluster.stdin.close()


@pytest.fixture(scope="session")
def overlapping_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Four patients with structures that overlap and nest."""
    return write_overlapping_cohort(tmp_path_factory.mktemp("overlapping"))
