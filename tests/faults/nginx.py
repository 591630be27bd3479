"""An nginx before the web processes, as docs/how-to/run-in-production.md has it."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.live.processes import free_port
from tests.patience import patiently

CONFIGURATION = """
daemon off; {user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream throughline {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://throughline;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_connect_timeout 5s;
            proxy_read_timeout 60s;
        }}
    }}
}}
"""


class Nginx:
    """Use it with `with`: gives its address once it answers."""

    def __init__(self, path: str, folder: Path, upstreams: Sequence[str]) -> None:
        self._path = path
        self._folder = folder
        self._port = free_port()
        self._servers = " ".join(f"server {each.removeprefix('http://')} max_fails=0;" for each in upstreams)

    def __enter__(self) -> str:
        self._folder.mkdir()
        configuration = self._folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(CONFIGURATION.format(folder=self._folder, port=self._port, servers=self._servers, user=user))
        log = str(self._folder / "error.log")
        self._process = subprocess.Popen([self._path, "-p", str(self._folder), "-c", str(configuration), "-e", log])
        deadline = time.monotonic() + patiently(20)
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self._port}/healthz", timeout=5).status_code == 200:
                    return f"http://127.0.0.1:{self._port}"
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"nginx does not answer: {Path(log).read_text()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
