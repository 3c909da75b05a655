"""Flask, as far as the documents' code uses it: headers by any case, the body as text, an exception answered with 500.

Writes its port to stdout, then one line of JSON for each request.
"""

import base64
import json
import os
import sys
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(verifies: Callable[[str, Message, str], bool]) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            text = body.decode("utf-8", "replace")  # as get_data(as_text=True) does
            fault = None
            try:
                status = 200 if verifies(text, self.headers, os.environ["SECRET"]) else 401
            except Exception as error:  # noqa: BLE001 - whatever it is, Flask answers 500
                status, fault = 500, repr(error)
            headers = {name.lower(): ", ".join(self.headers.get_all(name)) for name in self.headers}
            tell({"status": status, "fault": fault, "headers": headers, "body": base64.b64encode(body).decode()})
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The ledger says it all."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tell({"port": server.server_address[1]})
    server.serve_forever()


_telling = threading.Lock()


def tell(line: object) -> None:
    with _telling:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
