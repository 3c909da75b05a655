"""``tocsin openapi``: the API's description, without a server."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tocsin.cli.exits import FAILED, Failure
from tocsin.cli.output import say
from tocsin.cli.settings import OUR_DIALECTS, DialectFlags


def openapi(
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"), show_default=False)] = None,
    dialects: DialectFlags = OUR_DIALECTS,
) -> None:
    """Print the API's description (OpenAPI 3.1, JSON).

    Args:
        output: A file to write it to, instead of stdout.
    """
    dialects.use()
    from tocsin.api.openapi import describe
    from tocsin.api.routes import OPERATIONS

    description = json.dumps(describe(OPERATIONS), ensure_ascii=False, indent=2)
    if output is None:
        sys.stdout.write(f"{description}\n")
        return
    try:
        output.write_text(f"{description}\n")
    except OSError as error:
        raise Failure(FAILED, f"{output} cannot be written: {error.strerror}") from None
    say(f"Wrote {output}.")
