"""Loads the bundles given and prints, as JSON, why each was refused and which files were opened meanwhile.

The first one must be good: it is loaded once more before, since Python opens modules where they are first needed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from PIL import Image

from ganserve.contract.errors import ArtifactError
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import load_model


def main(folders: list[str]) -> None:
    opened: list[str] = []

    def record(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.connect"):
            opened.append(os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else str(arguments[0]))

    Image.init()
    lanes = Lanes("cpu", 1)
    load_model(Path(folders[0]), lanes=lanes, max_batch=1)
    sys.addaudithook(record)
    found = {}
    for folder in folders:
        opened.clear()
        try:
            load_model(Path(folder), lanes=lanes, max_batch=1)
            reason = ""
        except ArtifactError as error:
            reason = str(error)
        found[folder] = {"reason": reason, "opened": list(opened)}
    lanes.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
