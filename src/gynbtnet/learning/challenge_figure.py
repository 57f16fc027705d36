"""Plot of a challenge: the difference of the DSC on the frozen test with its interval, by structure."""

from matplotlib.figure import Figure

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.learning.challenge import Challenge, Verdict
from gynbtnet.pictures.picture import Picture, render_picture

_COLOURS: dict[Verdict, str] = {
    "gains": "#1f5f7a",
    "loses": "#b34a00",
    "no difference shown": "0.45",
    "can't be decided": "0.45",
}
_MARKERS: dict[Verdict, str] = {"gains": "^", "loses": "v", "no difference shown": "o", "can't be decided": "x"}


def challenge_picture(result: Challenge, names: StructureNames, *, synthetic: bool) -> Picture:
    """Return the plot of a challenge in which at least one structure has a difference.

    Args:
        result: result of the challenge.
        names: names of the structures.
        synthetic: note in the plot that the data is synthetic.
    """
    rows = [(row, row.difference) for row in result.structures if row.difference is not None]
    figure = Figure(figsize=(5.0, 1.0 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.45", linewidth=1, linestyle="--")
    for height, (row, difference) in enumerate(reversed(rows)):
        colour = _COLOURS[row.verdict]
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [height, height], "-", color=colour, linewidth=2)
        axes.plot([difference], [height], _MARKERS[row.verdict], color=colour, markersize=7)
    axes.set_yticks(range(len(rows)), [names.display_name(row.structure) for row, _ in reversed(rows)], fontsize=9)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("DSC of the challenger minus that of the champion", fontsize=9)
    if synthetic:
        axes.set_title("synthetic data", fontsize=9, loc="left")
    words = [f"{names.display_name(row.structure)} {difference:+.3f}, {row.verdict}" for row, difference in rows]
    return render_picture(figure, f"Difference of the DSC with its interval: {'; '.join(words)}", 130)
