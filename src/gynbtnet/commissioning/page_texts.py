"""Fixed texts of the page of a kit."""

from collections.abc import Mapping

from gynbtnet.commissioning.planted_failures import Outcome
from gynbtnet.commissioning.verdict import Verdict

NO_APPROVAL = (
    "This page reports tests of a research tool on cases of one clinic. It is no approval and no conformity "
    "assessment, and it makes no device of the software. The people who use the contours decide and sign."
)
NOT_READ = (
    "Print this page and write down what the planning system shows; x, y and z are coordinates of the centre of mass. "
    "Then type it into import_check/form.yaml, and run the command again."
)
NOT_TYPED = "Not typed yet: type intended_use in the file of limits, and run the command again."
VERDICTS: Mapping[Verdict, str] = {
    "meets": "the whole interval is on the acceptable side of the limit",
    "fails": "the whole interval is on the other side",
    "can't decide": "the interval contains the limit, or there is none",
    "no data": "nothing was measured",
}
OUTCOMES: Mapping[Outcome, str] = {
    "refused": "no contours were made",
    "flagged": "the software reports something that it doesn't report for the control",
    "not noticed": "nothing more is reported than for the control; the person who reviews has to see it",
    "control": "a scan without a planted failure",
    "not run": "it can't be made for this model",
}
PLANTED = (
    "Each of these scans and contours is synthetic: the fault was planted to see what the software reports. A local "
    "scan is compared with the same scan unchanged, a phantom with the phantom without a fault. Each fault is planted "
    "in one scan; in another one the outcome may differ. Contours that nobody refuses may look plausible."
)
HISTORY = (
    "Times are those of the computer that ran the command. The record shows an honest mistake; it can't stop someone "
    "who edits or deletes it. Each further look at results with more patients is another chance that an interval "
    "misses the true mean."
)
IMPORT = (
    "The folder import_check has a CT and an RTSTRUCT of shapes with known volumes, and form.yaml for what the "
    "planning system shows. Volumes agree within {share:g} % or {cm3:g} cm³, the larger, with one of two conventions "
    "for the ends of a structure; centres within {mm:g} mm, in DICOM coordinates."
)
AGAIN = (
    "A new scanner, another protocol, reconstruction or slice thickness, or contrast agent.",
    "Another applicator, packing or catheter.",
    "Another model: other weights, post-processing, calibration or prediction settings. A kit refuses them.",
    "A new major or minor version of this software, or another version of the planning system.",
    "Patients outside the intended use, such as after hysterectomy or with hip implants.",
    "New contouring guidelines, or other people who contour the reference.",
    "An alarm in the monitoring of corrections, and at least once a year a sample of new patients.",
)
DECISIONS = "☐ in use\n☐ in use if:\n☐ not in use"
SIGNATURES = ("Medical physicist", "Radiation oncologist", "Head of department")
_INTERVALS = (
    "Means are over cases. The {percent} % intervals are Student's t intervals over patients: standard errors come "
    "from leaving out each patient with all fractions (Efron and Stein 1981, doi 10.1214/aos/1176345462). There is no "
    "interval below five patients, and none exceeds what the metric can be. With fewer than twenty patients, rare "
    "failures may not have occurred."
)
_SINGLE = (
    "Each verdict is for one limit. A model meets all limits only if every verdict is “meets”, so that statement needs "
    "no adjustment for their number."
)
_DECIDE = (
    "With the number of patients that decides, the t interval excludes the limit with a probability of 80 %. Mean and "
    "standard deviation between patients are assumed to be those measured (Julious 2004, doi 10.1002/sim.1783)."
)
_MISSED = (
    "Missed and false structures count: DSC and surface DSC are 0, and distances are the largest that the case allows."
)
_DOSES = (
    "Dose differences are totals of a patient over all fractions, automatic minus manual contours, in the dose that "
    "was planned on the manual ones. Replanning on the automatic contours is not simulated."
)
_OUTLINE = "Outline of the tests: Vandewinckele et al. 2020 for ESTRO (doi 10.1016/j.radonc.2020.09.008)."
SOURCES = (_INTERVALS, _SINGLE, _DECIDE, _MISSED, _DOSES, _OUTLINE)
