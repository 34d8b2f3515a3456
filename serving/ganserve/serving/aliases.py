"""Aliases of versions, such as `stable`: a file in the folder of models, which people may write too.

{"digits": {"canary": 3, "stable": 2}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ganserve.contract.bundle import MODEL_NAME
from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import new_file, read_regular_file
from ganserve.contract.selectors import ALIAS, VERSIONS

from .bundles import list_places
from .catalogue import Aliases

ALIASES_FILE: Final = "aliases.json"
_MAX_BYTES: Final = 1024**2


def read_aliases(models_dir: Path) -> Aliases:
    """The aliases of a folder of models; none where there is no file. Raises ArtifactError for one that is wrong."""
    path = models_dir / ALIASES_FILE
    if not path.exists():
        return {}
    try:
        content = json.loads(read_regular_file(path, _MAX_BYTES))
        return {_model(name): _targets(own) for name, own in content.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} does not say which version each alias points to ({error}); write it like "
            '{"digits": {"stable": 2}}, or remove it'
        ) from error


def find_lost_aliases(models_dir: Path, aliases: Aliases) -> list[str]:
    """Those that point to a version of which there is no bundle in a folder, and to which one, for people."""
    if not aliases:
        return []
    there = list_places(models_dir)
    return [
        f"the alias {name}:{alias} points to version {version}, of which there is no bundle"
        for name, own in sorted(aliases.items())
        for alias, version in sorted(own.items())
        if (name, version) not in there
    ]


def changed_aliases(former: Aliases, aliases: Aliases) -> list[str]:
    """What is other than it was, for people."""
    places = sorted({(name, alias) for some in (former, aliases) for name, own in some.items() for alias in own})
    changed = []
    for name, alias in places:
        version = aliases.get(name, {}).get(alias)
        if version != former.get(name, {}).get(alias):
            what = "is removed" if version is None else f"points to version {version}"
            changed.append(f"the alias {name}:{alias} {what}")
    return changed


def write_aliases(models_dir: Path, aliases: Aliases) -> None:
    """Replaces the file, whole or not at all. Raises ArtifactError where there is no folder or it cannot be written."""
    if not models_dir.is_dir():
        raise ArtifactError(f"{models_dir} is not a folder; is the disk of the models mounted?")
    text = json.dumps({name: own for name, own in aliases.items() if own}, indent=2, sort_keys=True)
    with new_file(models_dir / ALIASES_FILE) as path:
        path.write_text(text + "\n", encoding="utf-8")


def with_alias(aliases: Aliases, name: str, alias: str, version: int | None) -> Aliases:
    """Other aliases, in which one points to a version, or does not exist."""
    own = {other: target for other, target in aliases.get(name, {}).items() if other != alias}
    return aliases | {name: own if version is None else own | {alias: version}}


def _model(name: str) -> str:
    if not MODEL_NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no model name")
    return name


def _targets(own: dict[str, Any]) -> dict[str, int]:
    return {_alias(alias): _version(version) for alias, version in own.items()}


def _alias(alias: str) -> str:
    if not ALIAS.fullmatch(alias):
        raise ValueError(f"{alias[:80]!r} is no alias")
    return alias


def _version(version: Any) -> int:
    if type(version) is not int or version not in VERSIONS:
        raise ValueError(f"{version!r} is no version")
    return version
