"""What the page writes into its log: the incident that a visitor was shown, never who it was."""

import json
import logging

import pytest

from toolkit.page.logs import JsonLines, without_people
from toolkit.page.workers import Fault


@pytest.mark.parametrize(
    "text",
    [
        "FileNotFoundError: [Errno 2] No such file: '/tmp/lift4d-page-ab_c1/0f3a/clip/Anna at home.mp4'",
        '  File "/tmp/lift4d-page-x/temporary/lift4d-9/Anna.jpg", line 3',
        "ValueError: 'Anna.MP4' is odd",
        "look\nUserError: (Anna.zip) is not a zip",
        "from 192.168.7.21 and fe80:0:0:0:1:2:3:4",
    ],
)
def test_neither_names_of_files_nor_addresses_are_logged(text):
    told = without_people(text)
    assert "Anna" not in told and "192.168" not in told and "fe80" not in told
    assert "<file>" in told or "<address>" in told


def test_where_in_the_program_it_went_wrong_stays():
    text = 'File "/srv/toolkit/page/jobs.py", line 97, in run\n    ZeroDivisionError: at 12:30:45'
    assert without_people(text) == text


def test_a_fault_is_one_line_of_json_with_its_incident(caplog):
    with caplog.at_level(logging.ERROR, "lift4d"):
        fault = Fault("run\nTraceback ...\nOSError: '/tmp/lift4d-page-x/ff/clip/Anna.mp4'")
    line = JsonLines().format(caplog.records[0])
    told = json.loads(line)
    assert "\n" not in line and told["incident"] == fault.incident and fault.incident in str(fault)
    assert told["level"] == "error" and "Traceback" in told["message"] and "Anna" not in line


def test_an_unexpected_error_keeps_its_traceback():
    try:
        raise ZeroDivisionError("Anna.mp4 ")
    except ZeroDivisionError:
        import sys

        record = logging.LogRecord("lift4d", logging.ERROR, "x.py", 1, "unexpected", None, sys.exc_info())
    told = json.loads(JsonLines().format(record))
    assert told["message"] == "unexpected" and "ZeroDivisionError" in told["details"] and "Anna" not in told["details"]
