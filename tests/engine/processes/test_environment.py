"""What a worker finds in its environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.endpoints import Endpoint, Key
from penstock.engine.processes.environment import module_folders, worker_environment
from penstock.redaction import Secret


def test_no_variable_holds_a_key_of_the_run() -> None:
    """Whatever its name, alone or among others; what a connection needs stays."""
    keys = (Key(Secret("first"), "A"), Key(Secret("second"), "B"))
    kept = {"HTTPS_PROXY": "http://proxy:1", "SSL_CERT_FILE": "ca.pem", "FIRST": "not the first"}
    given = {"A": "first", "COPY": " second ", "ALL": "other,second", **kept}
    environment = worker_environment(given, [Endpoint("one", "http://one", keys), Endpoint("free", "http://free")])
    del environment["PYTHONPATH"]
    assert environment == kept


def test_modules_are_found_where_this_process_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order, but in the current folder last; what is relative or not there is left out."""
    here, first, second = tmp_path / "here", tmp_path / "first", tmp_path / "second"
    for folder in (here, first, second):
        folder.mkdir()
    monkeypatch.chdir(here)
    path = ["", str(here), str(second), "relative", str(tmp_path / "gone"), str(first), str(second)]
    assert module_folders(path) == [str(second), str(first), str(here)]
    monkeypatch.syspath_prepend(str(first))
    assert worker_environment({}, [])["PYTHONPATH"].split(os.pathsep)[0] == str(first)
