"""SECURITY.md names tests that exist; pins with hashes are the pins; the image is made of what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_threat_has_a_test_that_exists():
    rows = re.findall(r"^\| (?!threat|---)(.+?) \|.*\| (.+?) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert len(rows) > 25
    for threat, told in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", told)
        assert named or "RELEASING.md" in told, threat
        for file, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (threat, file, name)


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return [line.split(" --hash=sha256:") for line in lines if line and not line.startswith(("#", "-r"))]


def test_pins_with_hashes_are_the_pins():
    hashed = pins("requirements-hashes.txt")
    assert [pin for pin, _ in hashed] == [pin for (pin,) in pins("requirements.txt")]
    assert all(re.fullmatch(r"[0-9a-f]{64}", found) for _, found in hashed)


def test_everything_that_may_be_installed_is_pinned_and_no_two_pins_differ():
    found = {}
    for file in sorted(ROOT.glob("requirements*.txt")):
        for pin, *_ in pins(file.name):
            name, separator, version = pin.partition("==")
            assert separator and version, (file.name, pin)
            assert found.setdefault(name.lower(), version) == version, (file.name, pin)


def test_the_image_holds_what_the_page_needs_and_runs_as_nobody_special():
    lines = [line for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert re.fullmatch(r"FROM python:3\.11-\S+", lines[0]) and not any(line.startswith("ADD ") for line in lines)
    users = [line for line in lines if line.startswith("USER ")]
    assert (
        users == ["USER 1000"]
        and any("--uid 1000" in line for line in lines)
        and lines.index(users[0]) < lines.index('CMD ["python", "app.py"]')
    )
    assert any("--require-hashes" in line for line in lines) and any("/healthz" in line for line in lines if line.startswith("HEALTHCHECK"))


def test_one_version_is_told_everywhere():
    import tomllib

    import toolkit as tk

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == tk.__version__ and f"## {version}\n" in (ROOT / "CHANGELOG.md").read_text()
