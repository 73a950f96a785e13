"""What is printed stays on its line, and only what is meant is printed."""

import os
from contextlib import suppress

import pytest

from catdog_helpers.machine.backend import quiet
from catdog_helpers.machine.failures import first_line, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Föhn 猫 👨‍👩‍👧.jpg", "Föhn 猫 👨‍👩‍👧.jpg"),
        ("C:\\new\\a.jpg", "C:\\new\\a.jpg"),
        ("a\r\n\tb", "a\\r\\n\\tb"),
        ("\x1b]0;title\x07\x9b2J", "\\x1b]0;title\\x07\\x9b2J"),
        ("gpj\u202e.exe\ud800", "gpj\\u202e.exe\\ud800"),
    ],
)
def test_text_stays_on_its_line(text, shown):
    assert one_line(text) == shown


def test_an_error_without_text_has_its_type():
    assert first_line(ValueError("a\nb")) == "a"
    assert first_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(("level", "kept"), [("3", ""), ("0", "inside\n")])
def test_quiet_drops_what_goes_to_the_process_itself(
    level, kept, monkeypatch, capfd
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    with suppress(KeyError), quiet():
        os.write(2, b"inside\n")
        raise KeyError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == f"{kept}after\n"
