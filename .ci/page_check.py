"""Uses the page of a real server in headless Chromium, at the sizes of a desk and of a phone, and takes pictures of it.

The pictures go into the folder that is given, `build/page` without one: look at them after a change.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from browser import Browser
from local_server import WAIT_S, ganserve, http_address, make_digits, run, serving
from PIL import Image

from ganserve.contract.images import Images, cut_grid, zoom_to_see

SCREENS = {
    "desk-light": {"width": 1280, "height": 900, "dark": False, "mobile": False},
    "desk-dark": {"width": 1280, "height": 900, "dark": True, "mobile": False},
    "phone-light": {"width": 390, "height": 844, "dark": False, "mobile": True},
    "phone-dark": {"width": 390, "height": 844, "dark": True, "mobile": True},
    "phone-narrow": {"width": 320, "height": 640, "dark": False, "mobile": True},
}
LOADED = """
    ["grid-image", "strip", "image-a", "image-b"].map((id) => document.getElementById(id))
        .every((image) => image.complete && image.naturalWidth && !image.classList.contains("busy"))
"""
SIDE = 8  # pixels of a digit
ZOOM = zoom_to_see(SIDE, SIDE)
WRITTEN = ("url", "command", "python")
SET = """((id, value) => {
    const input = document.getElementById(id);
    input.value = value;
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
})"""


def main(pictures: Path) -> None:
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with serving(make_digits(work), work, "--http", "127.0.0.1:0", "--allow-admin", "--linger-s", "0") as address:
            browser = Browser(work)
            try:
                url = f"http://{http_address(work)}/"
                use(browser, url)
                check_addresses(browser, work)
                look(browser, url, pictures)
                if browser.troubles:
                    sys.exit("the browser complains:\n" + "\n".join(browser.troubles))
                replace(browser, work, address)
            finally:
                browser.close()
    print(f"the page works; its pictures are in {pictures}")


def use(browser: Browser, url: str) -> None:
    """Every control does what it says."""
    browser.show(**SCREENS["desk-light"])  # type: ignore[arg-type]
    browser.open(url)
    browser.wait(LOADED)
    expect(browser, "document.getElementById('grid-image').naturalWidth", 8 * (SIDE + 1) - 1)
    expect(browser, "document.getElementById('cells').childElementCount", 64)
    for control, value, part in (
        ("seed", 42, "/samples/42/0-63.png"),
        ("seed-text", 2**64 - 1, f"/samples/{2**64 - 1}/0-63.png"),
        ("seed-text", "nonsense", f"/samples/{2**64 - 1}/0-63.png"),
        ("class", 3, "class=3"),
        ("truncation", 12, "truncation=1.2"),
        ("page-number", 2, "/128-191.png"),
    ):
        browser.run(f"{SET}('{control}', '{value}')")
        browser.wait(f"document.getElementById('grid-image').src.includes('{part}')")
        browser.wait(LOADED)
    browser.run("document.querySelector('#cells button[data-index=\"130\"]').click()")
    browser.run("document.getElementById('choose-b').click()")
    browser.run("document.querySelector('#cells button[data-index=\"137\"]').click()")
    browser.run(f"{SET}('steps', 5)")
    browser.wait("document.getElementById('strip').src.includes(':130/')")
    browser.wait("document.getElementById('strip').src.includes('steps=5')")
    browser.wait(LOADED)
    expect(browser, "document.querySelectorAll('#cells .end').length", 2)
    # What is shown is in the page's own address.
    kept = browser.run("location.href")
    browser.open("about:blank")
    browser.open(kept)
    browser.wait(LOADED)
    expect(browser, "document.getElementById('grid-image').src.includes('/128-191.png?class=3&truncation=1.2')", True)
    expect(browser, "document.getElementById('trouble').hidden", True)


def check_addresses(browser: Browser, work: Path) -> None:
    """URL, command and Python of the page give the same pixels."""
    for subject, shown, file, num in (("sample", "image-b", "sample.png", 1), ("strip", "strip", "steps.png", 5)):
        browser.run("document.getElementById('choose-b').click()")
        browser.run(f"{SET}('subject', '{subject}')")
        url, command, python = (browser.run(f"document.getElementById('{name}').textContent") for name in WRITTEN)
        expect(browser, f"document.getElementById('{shown}').src", url)
        with urllib.request.urlopen(url, timeout=WAIT_S) as reply:  # noqa: S310
            (work / "url.png").write_bytes(reply.read())
        by_url = samples_of(work / "url.png", num, zoom=1, gap=1)
        words = shlex.split(command)
        run(sys.executable, "-m", "ganserve.cli", *words[1:], cwd=work)
        compare(by_url, samples_of(work / file, num, zoom=ZOOM, gap=2), command)
        (work / file).unlink()
        (work / "copied.py").write_text(python)
        run(sys.executable, "copied.py", cwd=work, env=dict(os.environ))
        compare(by_url, samples_of(work / file, num, zoom=ZOOM, gap=2), python)


def samples_of(file: Path, num: int, *, zoom: int, gap: int) -> Images:
    """The samples of a grid whose images are enlarged so many times."""
    grid = np.asarray(Image.open(file).convert("L"))[::zoom, ::zoom, np.newaxis]
    return cut_grid(grid, num, SIDE, SIDE, gap)


def compare(one: Images, other: Images, source: str) -> None:
    if not (one == other).all():
        sys.exit(f"the page's URL and what follows give other pixels:\n{source}")


def look(browser: Browser, url: str, pictures: Path) -> None:
    """Photographs every screen; nothing sticks out of one."""
    for name, screen in SCREENS.items():
        browser.show(**screen)  # type: ignore[arg-type]
        browser.open("about:blank")
        browser.open(url)
        browser.wait(LOADED)
        browser.photograph(pictures / f"{name}.png")
        width = browser.run("document.documentElement.scrollWidth")
        if width > screen["width"]:
            sys.exit(f"on {name} the page is {width} pixels wide, and the screen {screen['width']}")


def replace(browser: Browser, work: Path, address: str) -> None:
    """A page that is open goes on with the model that takes the place of the one it shows."""
    ganserve("export", "run", "--onnx", "--models", "models", "--name", "digits", "--dtype", "fp16", cwd=work)
    for words in (("load", "digits:2"), ("unload", "digits:1")):
        ganserve("admin", *words, "--server", address, cwd=work)
    expect(browser, "document.getElementById('model').value", "digits:1")
    browser.run(f"{SET}('seed', 8)")
    browser.wait("document.getElementById('model').value === 'digits:2'")
    browser.wait(LOADED)
    expect(browser, "document.getElementById('grid-image').src.includes('/samples/8/')", True)
    expect(browser, "document.getElementById('trouble').hidden", True)


def expect(browser: Browser, expression: str, expected: object) -> None:
    found = browser.run(expression)
    if found != expected:
        sys.exit(f"{expression} is {found!r}, and not {expected!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "build" / "page")
