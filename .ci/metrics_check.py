"""Has a real Prometheus scrape a real server, and tests the alert rules and the dashboard's expressions with it.

Uses `prometheus` and `promtool` where they are installed, and else those of Debian's package, unpacked for this check.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_server import WAIT_S, http_address, make_digits, run, serving

from ganserve.client import Client

ROOT = Path(__file__).resolve().parents[1]
DEPLOYED = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "ganserve.json"
TOOLS = ("prometheus", "promtool")
NUM_IMAGES = 300


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prometheus, promtool = find_tools(work)
        check_rules(promtool, work)
        with serving(make_digits(work), work, "--http", "127.0.0.1:0") as address:
            check_text(promtool, http_address(work))
            with scraping(prometheus, work) as ask:
                check_scrape(ask, address)
                check_expressions(ask)
    print("Prometheus reads the server, and the rules and expressions work")


def find_tools(work: Path) -> tuple[str, ...]:
    """Prometheus and its tool."""
    found = tuple(path for tool in TOOLS if (path := shutil.which(tool)))
    if len(found) == len(TOOLS):
        return found
    print("unpacking Debian's package of Prometheus", flush=True)
    run("apt-get", "download", "prometheus", cwd=work)
    (package,) = work.glob("prometheus_*.deb")
    run("dpkg", "-x", package, work / "prometheus", cwd=work)
    return tuple(str(work / "prometheus" / "usr" / "bin" / tool) for tool in TOOLS)


def check_rules(promtool: str, work: Path) -> None:
    """The rules are rules, and each fires when it should and not before."""
    for name in ("alerts.yml", "alerts_test.yml", "prometheus.yml"):
        shutil.copy(DEPLOYED / name, work)
    run(promtool, "check", "config", "prometheus.yml", cwd=work)
    run(promtool, "check", "rules", "--lint-fatal", "alerts.yml", cwd=work)
    run(promtool, "test", "rules", "alerts_test.yml", cwd=work)


def check_text(promtool: str, address: str) -> None:
    """The metrics follow the conventions, as far as a linter can tell."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_S) as reply:
        text = reply.read()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    faults = [line for line in (done.stdout + done.stderr).decode().splitlines() if line.startswith("ganserve_")]
    if faults:
        sys.exit("promtool finds fault with the metrics:\n" + "\n".join(faults))


@contextmanager
def scraping(prometheus: str, work: Path) -> Iterator[Callable[[str], Any]]:
    """A Prometheus that scrapes the server every second; gives what asks it for the value of an expression."""
    config = (work / "prometheus.yml").read_text()
    config = config.replace("localhost:8080", http_address(work)).replace("scrape_interval: 15s", "scrape_interval: 1s")
    (work / "prometheus.yml").write_text(config)
    words = (prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
    with (work / "prometheus.log").open("w") as log:
        process = subprocess.Popen(words, cwd=work, stdout=log, stderr=log)
        try:
            port = wait_for(lambda: port_of(process.pid), "Prometheus listens")
            yield lambda expression: ask(port, expression)
        finally:
            process.terminate()
            process.wait(WAIT_S)


def port_of(pid: int) -> str | None:
    """The port that a process listens at."""
    inodes = {match[1] for link in links(pid) if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                return str(int(words[1].rpartition(":")[2], 16))
    return None


def links(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield str(path.readlink())
        except OSError:
            continue


def ask(port: str, expression: str) -> Any:
    """What an expression gives now: pairs of labels and value."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=WAIT_S) as reply:
            result = json.load(reply)["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"Prometheus does not take {expression!r}: {error.read().decode()}")
    except urllib.error.URLError:
        return []
    return [(one["metric"], float(one["value"][1])) for one in result]


def check_scrape(ask: Callable[[str], Any], address: str) -> None:
    """What is asked of the server is what Prometheus has counted."""
    with Client(address, model="digits") as client:
        client.generate(NUM_IMAGES, seed=7)
        client.generate(1, seed=7, format="png")
    sent = 'sum(ganserve_rows_total{code="OK", model="digits"})'
    wait_for(lambda: ask(sent) == [({}, NUM_IMAGES + 1.0)], f"{sent} is {NUM_IMAGES + 1}")
    for expression, expected in (
        ('up{job="ganserve"}', 1.0),
        ("sum(ganserve_late_rows_total)", 0.0),
        ("sum(ganserve_batch_rows_sum)", NUM_IMAGES + 1.0),
        ("ganserve_model_serving", 1.0),
    ):
        ((_, value),) = ask(expression)
        if value != expected:
            sys.exit(f"{expression} is {value}, and not {expected}")


def check_expressions(ask: Callable[[str], Any]) -> None:
    """Every expression of the dashboard tells something, once the server was scraped twice."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    replaced = {"$__rate_interval": "1m", "$instance": ".*", "$model": ".*"}
    for name, value in replaced.items():
        expressions = [expression.replace(name, value) for expression in expressions]
    for expression in expressions:
        wait_for(lambda: ask(expression), f"{expression} tells something")  # noqa: B023 - which is over by the next
    print(f"{len(expressions)} expressions of the dashboard tell something", flush=True)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What a condition gives once it holds."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        if value := condition():
            return value
        time.sleep(0.2)
    sys.exit(f"waited in vain until {what}")


if __name__ == "__main__":
    main()
