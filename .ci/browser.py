"""Headless Chromium, driven through its DevTools protocol over a pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 60


class Browser:
    """One tab.

    Attributes:
        troubles: what the console and the log of the tab said that is an error, such as a violated content policy.
    """

    def __init__(self, work: Path) -> None:
        program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if program is None:
            sys.exit("there is no Chromium here; install it, on Debian with `apt-get install chromium`")
        its_input, self._output = os.pipe()
        self._input, its_output = os.pipe()
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", f"--user-data-dir={work / 'profile'}"]
        flags += ["--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        # The protocol wants these two numbers.
        script = f'exec "$@" 3<&{its_input} 4>&{its_output}'
        self._log = (work / "browser.log").open("w")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", program, *flags],
            pass_fds=(its_input, its_output),
            stdout=self._log,
            stderr=self._log,
        )
        os.close(its_input)
        os.close(its_output)
        self._ids = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self.troubles: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def show(self, width: int, height: int, *, dark: bool, mobile: bool) -> None:
        """Has a screen of that size and colour scheme."""
        scale = 2 if mobile else 1
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Goes to a URL."""
        self._call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """What an expression of JavaScript gives; of a promise, what it comes to."""
        reply = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            sys.exit(f"{expression} failed: {reply['exceptionDetails']}")
        return reply["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        end_s = time.monotonic() + WAIT_S
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end_s:
                sys.exit(f"waited in vain until {condition}; the page said {self.troubles}")
            time.sleep(0.05)

    def photograph(self, path: Path) -> None:
        """Writes the whole page as a PNG file."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self._process.terminate()
        self._process.wait(WAIT_S)
        os.close(self._output)
        os.close(self._input)
        self._log.close()

    def _call(self, method: str, **parameters: Any) -> Any:
        call = {"id": next(self._ids), "method": method, "params": parameters}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._output, json.dumps(call).encode() + b"\0")
        while (message := self._receive()).get("id") != call["id"]:
            self._note(message)
        if "error" in message:
            sys.exit(f"{method} failed: {message['error']}")
        return message["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._buffer:
            data = os.read(self._input, 2**16)
            if not data:
                sys.exit("the browser ended; see browser.log")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, message: Any) -> None:
        event, parameters = message.get("method"), message.get("params", {})
        if event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.troubles.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        if event == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(parameters["exceptionDetails"]))
        if event == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.troubles.append(json.dumps(parameters["args"]))
