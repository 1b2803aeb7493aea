"""A stand-in for the Hugging Face hub on this machine: data sets that are made and written in commits of whole files."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(BaseHTTPRequestHandler):
    """What ``huggingface_hub`` asks for when a folder is uploaded; every file is a plain one in its commit."""

    protocol_version = "HTTP/1.1"
    private: dict[str, bool]
    files: dict[str, bytes]
    refuses: str
    url: str

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_right" or (self.refuses and self.path.endswith(self.refuses)):
            self.answer({"error": "You may not write here."}, 403)
        elif self.path == "/api/repos/create":
            asked = json.loads(raw)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            there = name in self.private
            self.private.setdefault(name, bool(asked.get("private") or asked.get("visibility") == "private"))
            self.answer({"url": f"{self.url}/datasets/{name}", "name": name}, 409 if there else 200)
        elif self.path == "/api/validate-yaml":  # of a card
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [f["path"] for f in json.loads(raw)["files"]]
            self.answer({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        elif self.path.endswith("/commit/main"):
            lines = [json.loads(line) for line in raw.splitlines()]
            for value in (line["value"] for line in lines if line["key"] == "file"):
                self.files[value["path"]] = base64.b64decode(value["content"])
            place = self.path.removeprefix("/api/").removesuffix("/commit/main")
            self.answer({"commitUrl": f"{self.url}/{place}/commit/{'1' * 40}", "commitOid": "1" * 40, "success": True})
        else:
            self.answer({"error": f"no {self.path}"}, 404)

    def do_GET(self) -> None:
        name = "/".join(self.path.split("/")[3:5])
        facts = {"id": name, "sha": "0" * 40, "siblings": [], "private": True, "tags": []}
        self.answer(*((facts, 200) if name in self.private else ({"error": "not found"}, 404)))

    def answer(self, data: Any, code: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


@contextmanager
def local_hub(refuses: str = "") -> Iterator[type[Hub]]:
    """The hub, at its ``url``. ``refuses``: how an address ends at which it says that one may not."""
    kind = type("OneHub", (Hub,), {"private": {}, "files": {}, "refuses": refuses})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        kind.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield kind
        finally:
            server.shutdown()
