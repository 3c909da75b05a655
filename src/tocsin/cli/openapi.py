"""``tocsin openapi``: the API's description, without a server."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tocsin.cli.output import say


def openapi(*, output: Annotated[Path | None, Parameter(name=("--output", "-o"), show_default=False)] = None) -> None:
    """Print the API's description (OpenAPI 3.1, JSON).

    Args:
        output: A file to write it to, instead of stdout.
    """
    from tocsin.api.openapi import openapi_json

    description = openapi_json()
    if output is None:
        sys.stdout.write(f"{description}\n")
    else:
        output.write_text(f"{description}\n")
        say(f"Wrote {output}.")
