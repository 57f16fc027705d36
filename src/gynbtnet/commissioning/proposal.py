"""Proposal of limits for a model, written as a YAML file for the clinic to change."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_yaml

_TABLE = Path(__file__).with_name("proposed_limits.yaml")

_HEAD = """\
# Limits for the commissioning of a contouring model. Set them BEFORE you see results: `gynbtnet commission` records
# when it first saw them, and takes changed limits after that only with --limits-changed "reason".
#
# Everything below is a proposal. Replace each number by what your clinic accepts, and its source by your own, such as
# the agreement of two of your readers. Delete a metric that you don't limit.
#
# Metrics are means over the local cases, compared with an interval over patients:
#   surface_dsc        share of both surfaces within tolerance_mm of each other, at least
#   dsc                Dice similarity coefficient, at least
#   hd95_mm            95th percentile of the surface distances in mm, at most
#   added_path_length  share of the contour to draw again, beyond one voxel, at most
#   delta_d90_gy, delta_d2cc_gy
#                      change of a patient's total dose, automatic minus manual, in Gy EQD2, within plus and minus
#
# dose: takes the settings of `gynbtnet dose` by their names, such as fractions_per_plan and alpha_beta_organ_gy.

# Patients, scanner and protocol, applicators, and what the contours are used for, in your own words:
intended_use: ""
set_by: ""
confidence: 0.95
dose: {}
limits:
"""


def write_proposal(structures: Sequence[str], path: Path) -> None:
    """Write proposed limits for the structures of a model; those without a proposal are named in a comment.

    Args:
        structures: structures of the model.
        path: YAML file to write.

    Raises:
        BadInput: If the file exists, or there is no proposal for any structure.
    """
    path = Path(path)
    if path.exists():
        raise BadInput(f"{path} exists already; edit it, or give another name.")
    table = load_yaml(_TABLE)
    known = [structure for structure in structures if structure in table]
    if not known:
        raise BadInput(
            f"There are proposals for {', '.join(table)}, but the model has only {', '.join(structures)}; write your "
            f"own file, such as `limits: {{{structures[0]}: {{dsc: {{limit: 0.8, why: two readers agree to it, source: "
            "our clinic}}}`."
        )
    parts = [_HEAD]
    for structure in known:
        text = yaml.safe_dump({structure: table[structure]}, allow_unicode=True, sort_keys=False, width=110)
        parts += [f"  {line}\n" for line in text.splitlines()]
    parts += [f"  # {name}: there is no proposal; add your own limits\n" for name in structures if name not in known]
    with atomic_write(path) as partial:
        partial.write_text("".join(parts), encoding="utf-8")
