"""What a server reaches: `measure` puts the loads of `loads.py` on it, and `plot.py` draws what came of them."""

from .figures import ClosedFigures, OpenFigures, ServerSpeed, median_of, spread_of
from .loads import LoadName, Settings
from .plot import check_plot, write_plot
from .speed import measure

__all__ = [
    "ClosedFigures",
    "LoadName",
    "OpenFigures",
    "ServerSpeed",
    "Settings",
    "check_plot",
    "measure",
    "median_of",
    "spread_of",
    "write_plot",
]
