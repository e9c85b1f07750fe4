import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.__main__ import main

GOOD = """\
version: 1
listeners: [{name: front, bind: "127.0.0.1:0", upstream: shop}]
admin: {bind: "127.0.0.1:0"}
upstreams: {shop: {url: "http://shop.invalid"}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "planb.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def signals() -> Iterator[None]:
    """`run` takes the process's signals over."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_check_says_that_a_file_is_well(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: ok\n", "")


def test_check_reports_every_file(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("version", "verzion") + "routes: 5\n")
    assert main(["check", str(bad), str(file), str(tmp_path / "missing.yaml")]) == 2
    out, err = capsys.readouterr()
    assert out == f"{file}: ok\n"
    lines = err.splitlines()
    assert [line.startswith(f"{bad}:") for line in lines] == [True] * (len(lines) - 1) + [False]
    assert any("verzion" in line for line in lines)
    assert any("routes" in line for line in lines)
    assert "missing.yaml" in lines[-1]


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


@pytest.mark.usefixtures("signals")
def test_run_reports_a_bad_file_as_check_does(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GOOD.replace("version", "verzion"))
    assert main(["check", str(file)]) == 2
    checked = capsys.readouterr().err
    assert main(["run", str(file)]) == 2
    assert capsys.readouterr().err == checked


def test_a_missing_command_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("planb ")


def test_the_demo_does_not_start_on_bad_rules(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GOOD.replace("admin", "admim"))
    assert main(["demo", str(file)]) == 2
    assert capsys.readouterr() == ("", f'{file}:3:1: admim: unknown key; did you mean "admin"?\n')


def test_the_demo_waits_where_the_rules_say_that_it_listens(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []

    def run(config: Path, **addresses: object) -> int:
        called.append((config, addresses))
        return 0

    monkeypatch.setattr("proxy.demo.run.run", run)
    front = GOOD.replace('front, bind: "127.0.0.1:0', 'front, bind: "127.0.0.1:18123')
    to_coupons = '}, {name: c, bind: "127.0.0.1:18090", direction: outbound, upstream: shop}]'
    for text, address in ((front, None), (front.replace("}]", to_coupons), ("127.0.0.1", 18090))):
        file.write_text(text)
        assert main(["demo", str(file)]) == 0
        expected = {
            "proxy_address": ("127.0.0.1", 18123),
            "admin_address": ("127.0.0.1", 0),
            "to_coupons_address": address,
        }
        assert called.pop() == (file, expected)
