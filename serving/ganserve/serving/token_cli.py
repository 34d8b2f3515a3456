"""The command `ganserve token new`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ganserve.contract.errors import ArtifactError, ConfigError

from .scopes import Scope
from .tokens import Grant, Quota, check_name, draw_token, hash_token


def new_token(
    name: str,
    *,
    scopes: Annotated[tuple[Scope, ...], Parameter(consume_multiple=True, negative="", show_default=", ".join)] = (
        Scope.GENERATE,
    ),
    rows_per_second: int | None = None,
    rows_per_minute: int | None = None,
    out: Annotated[Path | None, Parameter(name=("--out", "-o"))] = None,
) -> None:
    """Make a token for callers of a server.

    Prints the line for the file that `ganserve serve --tokens` reads, which holds a hash of the token in its place. The
    token itself goes to standard error, once, or to the file of --out.

    For example:

        ganserve token new training >> tokens.toml
        ganserve token new ops --scopes generate admin --out ops.token >> tokens.toml

    Args:
        name: Who the token is for, of letters, digits, - and _. It stands for the token in logs and errors.
        scopes: What it allows: generate, to ask for models and samples; admin, to change which models are served.
        rows_per_second: Most samples that are made for it a second.
        rows_per_minute: Most samples that are made for it a minute.
        out: A new file for the token, which its owner alone may read.
    """
    check_name(name)
    quota = _quota(rows_per_second, rows_per_minute)
    token = draw_token()
    grant = Grant(name=name, sha256=hash_token(token), scopes=frozenset(scopes), quota=quota)
    if out is None:
        print(f"The token of {name}, which is shown this once:\n{token}", file=sys.stderr)
    else:
        _write(out, token)
        print(f"{out}: the token of {name}", file=sys.stderr)
    print(grant.line())


def _quota(rows_per_second: int | None, rows_per_minute: int | None) -> Quota | None:
    given = {1.0: rows_per_second, 60.0: rows_per_minute}
    quotas = [Quota(num_rows=rows, period_s=period_s) for period_s, rows in given.items() if rows is not None]
    if len(quotas) > 1:
        raise ConfigError("give --rows-per-second or --rows-per-minute, not both")
    if quotas and quotas[0].num_rows < 1:
        raise ConfigError("--rows-per-second and --rows-per-minute are at least 1")
    return quotas[0] if quotas else None


def _write(path: Path, token: str) -> None:
    """Raises ArtifactError where the file is there already, or cannot be written."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ArtifactError(f"--out {path}: there is a file of that name; take another") from None
    except OSError as error:
        raise ArtifactError(f"--out {path}: it cannot be written: {error.strerror}") from None
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(f"{token}\n")
