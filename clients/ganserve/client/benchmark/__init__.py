"""How fast samples come from a server.

`Measurement` finds out how much arrives by each way of asking, for `ganserve bench client`; `server/` is what a server
reaches under loads of several kinds, for `ganserve bench server`, and `load/` puts them on.
"""

from .client_speed import BATCHES, LOADER, PLAIN, ClientSpeed, Measurement, Settings

__all__ = ["BATCHES", "LOADER", "PLAIN", "ClientSpeed", "Measurement", "Settings"]
