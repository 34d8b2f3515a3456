"""How fast samples come from a server, by each way of asking for them: `measure` for `ganserve bench client`."""

from .client_speed import BATCHES, LOADER, PLAIN, ClientSpeed, Settings, measure

__all__ = ["BATCHES", "LOADER", "PLAIN", "ClientSpeed", "Settings", "measure"]
