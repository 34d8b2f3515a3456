"""What a server reaches: `Measurement` puts the loads of `loads.py` on it, and `plot.py` draws what came of them."""

from .figures import ClosedFigures, OpenFigures, ServerSpeed, median_of, spread_of
from .loads import LoadName, Settings
from .plot import check_plot, write_plot
from .speed import Measurement

__all__ = [
    "ClosedFigures",
    "LoadName",
    "Measurement",
    "OpenFigures",
    "ServerSpeed",
    "Settings",
    "check_plot",
    "median_of",
    "spread_of",
    "write_plot",
]
