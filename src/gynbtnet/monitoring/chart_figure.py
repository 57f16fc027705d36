"""Picture of a control chart: the means of the periods, and their EWMA with its limits."""

import pandas as pd
from matplotlib.figure import Figure

from gynbtnet.monitoring.charts import Chart
from gynbtnet.pictures.picture import Picture, render_picture

_LINE, _LIMIT, _ALARM = "#1f5f7a", "0.45", "#b34a00"


def chart_picture(chart: Chart, title: str, *, synthetic: bool) -> Picture:
    """Return the picture of a chart that has points.

    Args:
        chart: the chart.
        title: name of structure and quantity.
        synthetic: note in the picture that the data is synthetic.
    """
    points = chart.points
    figure = Figure(figsize=(4.6, 3.3), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    days = pd.to_datetime(points["start"]).to_numpy()
    alarm = points["alarm"].to_numpy(bool)
    above.axhline(chart.baseline.mean(), color=_LIMIT, linestyle="--", linewidth=1)
    above.plot(days, points["mean"], "o-", color=_LINE, markersize=3, linewidth=1)
    above.set_ylabel("mean", fontsize=8)
    above.set_title(f"{title} (synthetic data)" if synthetic else title, fontsize=9, loc="left")
    below.fill_between(days, -points["limit"], points["limit"], color="0.92", step=None)
    below.plot(days, points["limit"], color=_LIMIT, linewidth=1)
    below.plot(days, -points["limit"], color=_LIMIT, linewidth=1)
    below.plot(days, points["average"], "o-", color=_LINE, markersize=3, linewidth=1)
    below.set_ylabel("EWMA of scores", fontsize=8)
    for axes, column in ((above, "mean"), (below, "average")):
        axes.plot(days[alarm], points[column][alarm], "X", color=_ALARM, markersize=8)
        axes.tick_params(labelsize=7)
    below.tick_params(axis="x", rotation=30)
    alarms = f", {int(alarm.sum())} beyond the limits" if alarm.any() else ", none beyond the limits"
    return render_picture(figure, f"{title}: {len(points)} points{alarms}", 130)
