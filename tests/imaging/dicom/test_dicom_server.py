"""A scan and its contours, stored on a DICOM server and retrieved, as with a clinic's PACS."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    StudyRootQueryRetrieveInformationModelGet,
)

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume

SERVER = shutil.which("dcmqrscp")
STORED = (CTImageStorage, RTStructureSetStorage, RTDoseStorage, SegmentationStorage)

pytestmark = pytest.mark.skipif(SERVER is None, reason="dcmqrscp (Debian: dcmtk) is not installed")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """DCMTK's archive, on loopback while the test runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    (tmp_path / "archive").mkdir()
    (tmp_path / "server.cfg").write_text(
        f"NetworkTCPPort = {number}\nMaxPDUSize = 16384\nMaxAssociations = 8\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {tmp_path / 'archive'} RW (100, 1024mb) ANY\nAETable END\n"
    )
    server = subprocess.Popen(
        [str(SERVER), "--config", str(tmp_path / "server.cfg")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(number)
        yield number
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("dcmqrscp does not answer")


def store(files: list[Path], port: int) -> None:
    """C-STORE."""
    entity = AE()
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        entity.add_requested_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="ARCHIVE")
    assert association.is_established
    assert {association.send_c_store(path).Status for path in files} == {0}
    association.release()


def fetch(study_uid: str, into: Path, port: int) -> None:
    """C-GET of a whole study."""

    def keep(event: evt.Event) -> int:
        event.dataset.file_meta = event.file_meta
        name = event.request.AffectedSOPInstanceUID  # type: ignore[union-attr]
        event.dataset.save_as(into / name, enforce_file_format=True)
        return 0

    entity = AE()
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    for sop_class in STORED:
        entity.add_requested_context(sop_class)
    association = entity.associate(
        "127.0.0.1",
        port,
        ae_title="ARCHIVE",
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class in STORED],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert association.is_established
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", study_uid
    statuses = [
        status.Status for status, _ in association.send_c_get(wanted, StudyRootQueryRetrieveInformationModelGet)
    ]
    association.release()
    assert statuses[-1] == 0


def test_what_comes_back_from_a_server_reads_the_same(ct, tmp_path, names, port):
    labels = np.random.default_rng(0).integers(0, 3, ct.volume.array.shape).astype(np.uint8)
    drawn = Segmentation(Volume(labels, ct.volume.geometry), ("hr_ctv", "bladder"))
    metadata = {"names": names, "description": "test", "software_version": "0"}
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", label="test", **metadata)
    write_seg(drawn, ct, tmp_path / "SEG.dcm", **metadata)
    dose = Volume(np.random.default_rng(1).random((3, 4, 5)), Geometry((3, 4, 5)))
    write_rtdose(dose, ct, tmp_path / "RD.dcm", description="test")
    ours = [tmp_path / name for name in ("RS.dcm", "SEG.dcm", "RD.dcm")]
    store([*ct.files, *ours], port)
    (tmp_path / "back").mkdir()
    fetch(ct.study_uid, tmp_path / "back", port)

    again = read_ct_series(tmp_path / "back")
    assert np.array_equal(again.volume.array, ct.volume.array)
    assert again.volume.geometry == ct.volume.geometry
    assert [one.sop_instance_uid for one in again.slices] == [one.sop_instance_uid for one in ct.slices]
    back = [tmp_path / "back" / pydicom.dcmread(path).SOPInstanceUID for path in ours]
    for read, path in ((read_rtstruct, back[0]), (read_seg, back[1])):
        assert np.array_equal(read(path, again, ("hr_ctv", "bladder"), names)[0].labels.array, labels)
    assert np.array_equal(read_rtdose(back[2]).grid.array, read_rtdose(ours[2]).grid.array)
