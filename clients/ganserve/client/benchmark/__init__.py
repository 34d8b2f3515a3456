"""How fast samples come from a server.

`measure_client` does it by each way of asking, for `ganserve bench client`, and `measure_server` under loads of several
kinds, for `ganserve bench server`.
"""

from .client_speed import BATCHES, LOADER, PLAIN, ClientSpeed
from .client_speed import Settings as ClientSettings
from .client_speed import measure as measure_client
from .server_figures import ServerSpeed
from .server_loads import LoadName
from .server_loads import Settings as ServerSettings
from .server_speed import measure as measure_server

__all__ = [
    "BATCHES",
    "LOADER",
    "PLAIN",
    "ClientSettings",
    "ClientSpeed",
    "LoadName",
    "ServerSettings",
    "ServerSpeed",
    "measure_client",
    "measure_server",
]
