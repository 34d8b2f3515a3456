"""The shape of the project, held against the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "protos": ["v1", "contract"],
    "training": ["training", "augment_eval"],
    "exporter": ["exporter"],
    "serving": ["runtime", "serving"],
    "clients": ["client", "dump"],
}
HEAVY = {"torch", "onnx", "onnxruntime"}
TOOLS = {"ganserve.training", "ganserve.augment_eval", "ganserve.exporter", "ganserve.runtime", "ganserve.serving"}


def test_ganserve_is_a_namespace_package() -> None:
    assert not [root for root in PACKAGES if (ROOT / root / "ganserve" / "__init__.py").exists()]


@pytest.mark.parametrize(("root", "package"), [(root, name) for root, names in PACKAGES.items() for name in names])
def test_every_component_is_a_typed_package(root: str, package: str) -> None:
    folder = ROOT / root / "ganserve" / package
    assert (folder / "__init__.py").is_file()
    assert (folder / "py.typed").is_file()


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("ganserve.contract.latents, ganserve.contract.bundle, ganserve.contract.images", HEAVY),
        ("ganserve.client, ganserve.client.cli.generate", HEAVY | TOOLS),
        ("ganserve.dump, ganserve.dump.cli", HEAVY | TOOLS | {"pyarrow"}),
        ("ganserve.cli", HEAVY | TOOLS | {"numpy", "grpc"}),
        ("ganserve.training.run", {"onnx", "onnxruntime", "grpc"}),
        ("ganserve.training, ganserve.training.config, ganserve.training.cli.train", {"torch", "sklearn"}),
        ("ganserve.augment_eval.cli", {"torch", "sklearn", "onnx", "onnxruntime"}),
        ("ganserve.runtime.loader, ganserve.serving.server, ganserve.serving.cli", {"torch", "starlette", "uvicorn"}),
    ],
)
def test_importing_a_component_brings_nothing_heavy_along(module: str, forbidden: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({forbidden!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_files_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    folders = "protos|training|exporter|serving|clients|tests|examples|benchmarks|docs"
    paths = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
