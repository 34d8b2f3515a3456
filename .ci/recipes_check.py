"""Runs the recipes of docs/augmentation.md for libraries that are too heavy to test everything else beside.

They get an environment of their own, with the client alone, and samples from a server that runs in this one.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from local_server import ganserve, run, serving
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "augmentation.md"
PRINTED_ADDRESS = "127.0.0.1:50051"
PACKAGES = ("ray[data]", "tensorflow", "nvidia-dali-cuda120")
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "TF_CPP_MIN_LOG_LEVEL": "2"}
CONNECT = f'from ganserve.client import Client\n\nclient = Client("{PRINTED_ADDRESS}", model="pets")\n'
CHECKS = {
    "import ray\n": """
import collections
rows = images.take_all()
assert len(rows) == 1000 and rows[0]["image"].shape == (32, 32, 3), rows[0]
assert max(collections.Counter(int(row["label"]) for row in rows).values()) == 334
""",
    "import tensorflow\n": """
(pictures, labels), *_ = images.take(1)
assert pictures.shape == (64, 32, 32, 3) and pictures.dtype == "uint8", pictures
assert (pictures.numpy() == client.generate(64, seed=7).numpy()).all()
""",
    "from nvidia.dali import": """
import numpy
made = client.generate(64, seed=7).numpy()
for place in range(64):
    picture = numpy.array(images.at(place))
    assert any((picture == other).all() for other in (made[place], made[place][:, ::-1])), place
""",
}


def main() -> None:
    recipes = list(read_recipes())
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        python = install(work)
        with serving(make_models(work), work) as address:
            for recipe in recipes:
                print(f"running the recipe for {recipe.split(maxsplit=2)[1]}", flush=True)
                check = next(check for start, check in CHECKS.items() if start in recipe)
                script = work / "recipe.py"
                script.write_text((CONNECT + recipe + check).replace(PRINTED_ADDRESS, address))
                run(python, script, cwd=work, env=os.environ | SETTINGS)
    print(f"{len(recipes)} recipes work")


def read_recipes() -> Iterator[str]:
    """What the document prints for each of the libraries."""
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    for start in CHECKS:
        found = [block for block in blocks if start in block]
        if len(found) != 1:
            sys.exit(f"{DOCUMENT} has {len(found)} recipes with {start.strip()!r}, and not one")
        yield found[0]


def install(work: Path) -> Path:
    """A fresh environment with the client and the libraries; returns its Python."""
    folder = work / "venv"
    print(f"installing {', '.join(PACKAGES)}", flush=True)
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt")
    run(*pip, ROOT, *PACKAGES, cwd=work)
    return folder / "bin" / "python"


def make_models(work: Path) -> Path:
    """A folder with the bundle `pets`, of a generator that saw a few pictures of noise for two steps."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "frog"):
        (work / "pets" / name).mkdir(parents=True)
        for number in range(8):
            picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(picture).save(work / "pets" / name / f"{number}.png")
    flags = ("--steps", "2", "--batch-size", "8", "--base-width", "8", "--evaluate-every", "0")
    ganserve("train", "--data", "pets", "--out", "run", *flags, cwd=work)
    ganserve("export", "run", "--onnx", "--models", "models", "--name", "pets", cwd=work)
    return work / "models"


if __name__ == "__main__":
    main()
