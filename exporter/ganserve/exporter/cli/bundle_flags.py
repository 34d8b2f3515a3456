"""The flags that say where a bundle goes, for every command that makes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from ganserve.contract.bundle import usable_name
from ganserve.contract.card import UNKNOWN
from ganserve.exporter.bundle import Target
from ganserve.v1.bundle_pb2 import Licences


@Parameter(name="*", group=Group("Bundle", sort_key=3))
@dataclass(frozen=True, kw_only=True)
class BundleFlags:
    """Place and licences of a bundle."""

    models: Path = Path("models")
    """Folder to put the bundle in, as `MODELS/NAME/VERSION`."""

    name: str | None = None
    """Name to serve the model by. The default is that of the run's folder or of the file, in characters that serve."""

    version: int | Literal["next"] = "next"
    """Version of the bundle; next is one above the highest that is there."""

    force: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Replace a bundle of this version."""

    licence: str = UNKNOWN
    """Licence of the weights, as Hugging Face names it, such as apache-2.0."""

    data_licence: str = UNKNOWN
    """Licence of the images that they were trained on."""

    def target(self, default_name: str) -> Target:
        """What the flags ask for."""
        return Target(
            models=self.models,
            name=usable_name(default_name) or default_name if self.name is None else self.name,
            version=None if self.version == "next" else self.version,
            force=self.force,
            licences=Licences(weights=self.licence, data=self.data_licence),
        )
