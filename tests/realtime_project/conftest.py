"""A data folder of its own for each test."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def data_dir():
    """An empty folder that the account of Postgres can pass through (pytest's own are closed to it)."""
    folder = Path(tempfile.mkdtemp(prefix="throughline-house-"))
    folder.chmod(0o711)
    yield folder
    for link in folder.rglob("*"):
        if link.is_symlink() and os.geteuid() == 0:
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
