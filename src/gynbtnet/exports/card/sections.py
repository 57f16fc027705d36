"""Sections of a model card, in the order of the AID-RT card.

Source: Barragán-Montero et al. 2026, AID-RT: Standardising artificial intelligence documentation in radiotherapy with a
domain-specific model card, Physics and Imaging in Radiation Oncology, doi 10.1016/j.phro.2026.100940. The sections are
those of the paper, in our own words.
"""

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.exports.card.card_sources import CardSources
from gynbtnet.exports.card.small_counts import stated_count, stated_groups, stated_number
from gynbtnet.exports.card.training_cohort import TrainingCohort
from gynbtnet.imaging.volume import AIR
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.runtime.phrases import by_axis, counted, enumeration

_NO_EVALUATION = "**To be counted**: no evaluation was given (`--evaluation`)."
_NO_COHORT = "**To be counted**: no cohort was given (`--cohort`)."


def card_metadata(sources: CardSources) -> str:
    """Return section 0: the card itself."""
    return _paragraphs(
        f"Made by GynBTNet {version('gynbtnet')}. The sections are those of the AID-RT model card (Barragán-Montero et "
        "al. 2026, doi 10.1016/j.phro.2026.100940).",
        f"Date: {sources.answers.text('card_date')}",
    )


def basic_information(sources: CardSources) -> str:
    """Return section 1: name, owners, licence, use and limits."""
    plan, text = sources.facts.plan, sources.answers.text
    listed = enumeration([sources.names.display_name(name) for name in plan.structures])
    learned = (
        f"Contours {listed} on {enumeration(plan.channels)}."
        if plan.structures
        else "Learned no structures: a pretrained encoder."
    )
    synthetic = ["SYNTHETIC training data: no patient was scanned. Not for any patient."]
    return _paragraphs(
        *(synthetic if sources.facts.synthetic else []),
        f"**Summary.** {learned} Anatomical site: female pelvis, for gynecologic brachytherapy. Research use only.",
        *_labelled(
            sources,
            ("Version", "version"),
            ("Developers and contact", "developers"),
            ("Licence of the weights", "license"),
            ("Intended use", "intended_use"),
            ("Intended users", "intended_users"),
            ("Clearance", "clearance"),
            ("Contraindications", "contraindications"),
            ("Observed limitations", "limitations"),
        ),
        f"**Limits of the software.** {_images(sources)} of the female pelvis, in any orientation. "
        + ("Scans of men, of other regions and of other kinds are outside the training." if plan.structures else ""),
        "Flags and predicted DSC point to contours to review first; every contour needs a review.",
        f"**Conflicts of interest and funding.** {text('conflicts_of_interest')}",
        f"**Citation.** {text('citation')}",
    )


def architecture(sources: CardSources) -> str:
    """Return section 2: pipeline, network, software."""
    facts, plan = sources.facts, sources.facts.plan
    digests = "".join(f"\n- `{name}`: `{digest}`" for name, digest in facts.digests.items())
    average = (
        "" if facts.folds == 1 else f" Logits of {facts.folds} networks, the folds of a cross-validation, are averaged."
    )
    relation = "may overlap" if plan.overlapping else "exclude each other"
    outputs = f"{counted(len(plan.structures), 'structure')}, which {relation}"
    mirrored = enumeration(plan.mirror_axes) or "no axis"
    calibrated = _names(sources, facts.calibrated) or "no structure"
    rules = "; ".join(f"{sources.names.display_name(rule.structure)}: {rule.words}" for rule in plan.postprocessing)
    return _paragraphs(
        f"**Input.** {enumeration(plan.channels)}, one volume each, on one grid.",
        f"**Preprocessing.** Reoriented to left, posterior, superior; {_normalisation(sources)}; resampled to "
        f"{by_axis(plan.spacing)} mm (z, y, x) by cubic splines.",
        f"**Network.** {plan.network}, size {plan.preset}, {facts.parameters:,} parameters, patches of "
        f"{by_axis(plan.patch_size)} voxels (z, y, x), {len(plan.strides)} levels.{average}",
        f"**Output.** {outputs if plan.structures else 'feature maps'}, on the grid of the scan.",
        f"**Prediction.** Sliding window with Gaussian weights. Mirrored in training: {mirrored}."
        f"{_evaluated_with(sources)}",
        f"**Post-processing.** {rules or 'none'}.",
        f"**Uncertainty.** Failure flags; predicted DSC with an interval for {calibrated}.",
        f"**Software and hardware of the training.** {_environment(sources)}",
        f"**Weights, SHA-256.**\n{digests}",
    )


def training(sources: CardSources) -> str:
    """Return section 3: data, method and settings of the training."""
    facts = sources.facts
    known = facts.trained_on
    seen = (
        f"{stated_count(known.scans, 'scan')} of {stated_count(known.patients, 'patient')}"
        if known
        else "unknown scans"
    )
    pairs = [(name, json.dumps(value)) for name, value in sorted(facts.settings.items())]
    settings = _table(("setting", "value"), pairs) if pairs else "Settings of the training: unknown."
    return _paragraphs(
        f"**Data.** {'One fold was' if facts.folds > 1 else 'The model was'} trained on {seen}.",
        _cohort(sources, sources.cohort) if sources.cohort else _NO_COHORT,
        _volumes(sources),
        *_labelled(
            sources,
            ("Source and period", "data_source"),
            ("Inclusion and exclusion", "inclusion_criteria"),
            ("Acquisition", "acquisition"),
            ("Reference standard", "reference_standard"),
            ("Demographics", "demographics"),
            ("Ethics approval and consent", "ethics"),
        ),
        "**Loss.** Soft Dice and cross-entropy, at every level of the decoder unless a setting changes it."
        if facts.plan.structures
        else "**Loss.** Error of the reconstruction of masked voxels.",
        f"**Hyper-parameters.**\n\n{settings}",
    )


def evaluation(sources: CardSources) -> str:
    """Return section 4: data, method and results of the evaluation."""
    scored = sources.evaluation
    asked = _labelled(
        sources,
        ("Data", "evaluation_data"),
        ("Qualitative evaluation", "qualitative_evaluation"),
        ("Dose", "dose_evaluation"),
    )
    if not sources.facts.plan.structures:
        return "A pretrained encoder has no contours to evaluate.\n"
    if scored is None:
        return _paragraphs(_NO_EVALUATION, *asked)
    kind = (
        "Cross-validation: each scan was predicted by the fold that was not trained on its patient"
        if scored.is_cross_validation
        else "Scans that the owners of the model name below"
    )
    tolerance = "its tolerance" if scored.tolerance_mm is None else f"{scored.tolerance_mm:g} mm"
    rows = [
        (
            sources.names.display_name(row.structure),
            stated_number(row.patients),
            stated_number(row.scans),
            _with_interval(row.dsc, row.dsc_interval),
            f"{row.surface_dsc:.3f}",
            f"{row.hd95_mm:.1f}",
            stated_number(row.missed),
        )
        for row in scored.structures
    ]
    heads = ("structure", "patients", "scans", "DSC [95 % interval]", "surface DSC", "HD95 (mm)", "missed scans")
    return _paragraphs(
        f"**Method.** {kind}; {stated_count(scored.scans, 'scan')} of {stated_count(scored.patients, 'patient')}. DSC "
        f"and surface DSC (at {tolerance}) are means over scans, HD95 is the median. The interval is between patients, "
        f"from {FEWEST_PATIENTS} patients on.",
        _table(heads, rows),
        *([] if scored.is_of_weights else ["Not checked: that these weights made the evaluated contours."]),
        *asked,
    )


def other_considerations(sources: CardSources) -> str:
    """Return section 5: ethics, risks and monitoring."""
    return _paragraphs(
        *_labelled(
            sources,
            ("Risks", "risk_analysis"),
            ("Ethical considerations", "ethical_considerations"),
            ("Monitoring", "monitoring"),
        ),
        "Counts below five are written as “fewer than 5”, and the card contains no identifiers of patients.",
    )


def _cohort(sources: CardSources, cohort: TrainingCohort) -> str:
    held_out = (
        "" if cohort.held_out is None else f" {stated_count(cohort.held_out, 'further patient')} held out for the test."
    )
    groups = ", ".join(f"{name} {size}" for name, size in stated_groups(cohort.applicators).items())
    rows = [(sources.names.display_name(name), stated_number(count)) for name, count in cohort.contoured.items()]
    return _paragraphs(
        f"**Cohort.** {stated_count(cohort.scans, 'scan')} of {stated_count(cohort.patients, 'patient')}"
        f"{', synthetic' if cohort.synthetic else ''}, training and validation together.{held_out} Median spacing "
        f"{by_axis(cohort.spacing, 3)} mm (z, y, x). Contours that are unapproved predictions: "
        f"{stated_count(cohort.automatic, 'scan')}. Applicators by patients: {groups}.",
        _table(("structure", "patients with contours"), rows),
    ).rstrip()


def _volumes(sources: CardSources) -> str:
    rows = [
        (
            sources.names.display_name(volume.structure),
            stated_number(volume.patients),
            f"{volume.median_cm3:.3g}",
            "{:.3g} to {:.3g}".format(*volume.range_cm3),
        )
        for volume in sources.facts.plan.volumes
    ]
    if not rows:
        return "Volumes of the structures in the training: unknown."
    return _table(("structure", "patients", "median volume (cm³)", "expected volume (cm³)"), rows)


def _images(sources: CardSources) -> str:
    """Return the images of a scan, such as ``One CT in HU``."""
    names = [f"{name} in HU" if name.casefold() == CT else name for name in sources.facts.plan.channels]
    return f"One {names[0]}" if len(names) == 1 else f"{enumeration(names)}, on one grid,"


def _normalisation(sources: CardSources) -> str:
    channels = sources.facts.plan.channels
    texts = [_channel_normalisation(sources, number) for number in range(len(channels))]
    return texts[0] if len(texts) == 1 else "; ".join(map("{}: {}".format, channels, texts))


def _channel_normalisation(sources: CardSources, channel: int) -> str:
    plan = sources.facts.plan
    if plan.normalisations[channel] == "ct" and plan.intensities:
        intensity = plan.intensities[channel]
        return (
            f"clipped to {intensity.percentile_00_5:g} to {intensity.percentile_99_5:g} HU, minus {intensity.mean:.4g} "
            f"HU, divided by {intensity.std:.4g} HU"
        )
    raised = f"values below {AIR} HU raised to it, " if plan.channels[channel].casefold() == CT else ""
    return f"{raised}z-scored by the mean and deviation of each scan"


def _evaluated_with(sources: CardSources) -> str:
    settings = sources.facts.prediction
    if settings is None:
        return ""
    mirroring = "averaged over mirror images" if settings.mirroring else "without mirror images"
    weights = {"last": "weights of the end of the training", "best": "weights of the best validation score"}
    return (
        f" Evaluated with an overlap of {settings.overlap:g}, {mirroring}, region {settings.roi}, "
        f"{weights[settings.weights]}."
    )


def _environment(sources: CardSources) -> str:
    listed = ", ".join(f"{name} {value}" for name, value in sources.facts.environment.items())
    return f"{listed or 'Unknown'}."


def _names(sources: CardSources, structures: Iterable[str]) -> str:
    return enumeration([sources.names.display_name(name) for name in structures])


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{value:.3f}" if low != low else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _labelled(sources: CardSources, *fields: tuple[str, str]) -> list[str]:
    return [f"**{label}.** {sources.answers.text(key)}" for label, key in fields]


def _paragraphs(*texts: str) -> str:
    return "".join(f"{text.rstrip()}\n\n" for text in texts)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
