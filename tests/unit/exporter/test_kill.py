from __future__ import annotations

from pathlib import Path

from ganserve.runtime.inspection import inspect_bundle
from ganserve.serving.bundles import find_bundles

from ...warm import run_python


def test_exports_killed_at_any_moment_leave_no_torn_bundle(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_exports.py")
    done = run_python(script, tmp_path, "100", timeout_s=250)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 100
    bundles = find_bundles(tmp_path)
    assert len(bundles) >= 2
    for bundle in bundles:
        inspection = inspect_bundle(bundle)
        assert {path.name for path in bundle.iterdir()} == {*inspection.manifest.files, "manifest.json"}
