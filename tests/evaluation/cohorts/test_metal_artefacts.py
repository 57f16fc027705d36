"""Metal is detected by its HU; the phantom defines which of its patients have a steel applicator."""

from dataclasses import replace

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal, metal_cm3
from gynbtnet.imaging import Geometry, Volume, write_volume
from gynbtnet.phantom import draw_patient, pelvic_geometry, phantom_case


def test_the_volume_of_metal():
    hu = np.full((4, 10, 10), 1800, np.int16)
    hu[0, 0, :5] = 2500
    hu[0, 1, :3] = 2499
    assert metal_cm3(Volume(hu, Geometry((4, 10, 10), (2.0, 1.0, 1.0)))) == pytest.approx(5 * 0.002)


@pytest.mark.parametrize("patient", [0, 2, 3])
def test_the_phantom_knows(patient, tmp_path):
    geometry = pelvic_geometry((4.0, 4.0, 4.0), (36, 40, 48))
    path = tmp_path / "scan.nii.gz"
    write_volume(phantom_case(0, patient, 0, geometry).scan, path)
    case = Case("p1", 1, "p1_f1", (path,), None, Source(synthetic=True), geometry)
    cohort = Cohort("phantom", (), (case, replace(case, id="again")), tmp_path)
    steel = draw_patient(0, patient, "brachytherapy").metal > 0
    assert cases_with_metal(cohort) == (frozenset({"p1_f1", "again"}) if steel else frozenset())
