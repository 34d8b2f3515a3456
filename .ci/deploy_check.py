"""Validates what `deploy/` has for Kubernetes and systemd, as far as that goes without either.

Manifests are held against Kubernetes' own schemas, with the patches of the overlay applied; of KServe's there are no
schemas here. The unit is read by `systemd-analyze`, where it is installed, which also says how exposed it is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from local_server import run

DEPLOYED = Path(__file__).resolve().parents[1] / "deploy"
PACKAGES = ("kubernetes-validate==1.37.0", "jsonpatch==1.33", "PyYAML==6.0.3")
MOST_EXPOSED = 2.0
VALIDATE = """
import pathlib, sys
import jsonpatch, kubernetes_validate, yaml

def read(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]

def validate(document):
    kubernetes_validate.validate(document, "1.33", strict=True)

folder = pathlib.Path(sys.argv[1])
base = yaml.safe_load((folder / "kustomization.yaml").read_text())
documents = [document for name in base["resources"] for document in read(folder / name)]
overlay = yaml.safe_load((folder / "tls" / "kustomization.yaml").read_text())
for patch in overlay["patches"]:
    operations = jsonpatch.JsonPatch(yaml.safe_load((folder / "tls" / patch["path"]).read_text()))
    target = patch["target"]
    (document,) = [one for one in documents if (one["kind"], one["metadata"]["name"]) == tuple(target.values())]
    documents.append(operations.apply(document))
for document in documents:
    validate(document)
print(len(documents), "manifests fit Kubernetes' schemas")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        venv.create(work / "venv", with_pip=True)
        python = work / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", *PACKAGES, cwd=work)
        run(python, "-c", VALIDATE, DEPLOYED / "kubernetes", cwd=work)
        if analyze := shutil.which("systemd-analyze"):
            check_unit(analyze, work)
        else:
            print("LEFT OUT: the systemd unit, for there is no systemd-analyze here")


def check_unit(analyze: str, work: Path) -> None:
    """The unit is one, and leaves little open."""
    unit = work / "ganserve.service"
    # The program and the user are not on this machine.
    text = (DEPLOYED / "systemd" / "ganserve.service").read_text()
    text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
    unit.write_text(re.sub(r"(?m)^(User|Group)=ganserve", r"\1=daemon", text))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    if faults := [line for line in (done.stdout + done.stderr).splitlines() if "ganserve.service" in line]:
        sys.exit("systemd-analyze finds fault with the unit:\n" + "\n".join(faults))
    flags = ("--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED * 10:.0f}")
    done = subprocess.run([analyze, "security", *flags, str(unit)], capture_output=True, text=True, check=False)
    print(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip())
    if done.returncode:
        sys.exit("the unit leaves more open than it should")


if __name__ == "__main__":
    main()
