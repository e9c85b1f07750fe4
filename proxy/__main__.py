"""The `planb` command."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.version import version_text

if TYPE_CHECKING:
    from proxy.rules.problems import RulesError


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 when it can't run, 2 for bad rules or usage."""
    _open_standard_descriptors()
    options = _parser().parse_args(arguments)
    # Imports are made where they are needed: `check` need not wait for a web server's.
    match options.command:
        case "run":
            return _run(options.file)
        case "check":
            return _check(options.files)
        case "schema":
            from proxy.rules.json_schema import schema_text  # noqa: PLC0415

            print(schema_text(), end="")
        case "demo":
            return _demo(options.file)
        case "surge":
            return _surge(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="planb",
        description="A reverse-proxy sidecar that keeps a shop alive under far too much load.",
    )
    parser.add_argument("--version", action="version", version=f"planb {version_text()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the sidecar on a rules file")
    run.add_argument("file", type=Path, metavar="FILE", help="the rules, YAML")
    check = commands.add_parser("check", help="check rules files, and explain every mistake")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the rules, YAML")
    commands.add_parser("schema", help="print the JSON Schema of rules files, for editors")
    demo = commands.add_parser("demo", help="run a small legacy shop behind the sidecar")
    demo.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=Path("config/planb.yaml"),
        metavar="FILE",
        help="the rules, YAML (default: %(default)s)",
    )
    _add_surge(commands.add_parser("surge", help="send a server far more than it can serve"))
    return parser


def _add_surge(surge: argparse.ArgumentParser) -> None:
    surge.description = (
        "Measures gently what a server can serve, sends it ten times that, and says what came of "
        "it. Visitors do not wait for each other, and leave without an answer after a second."
    )
    surge.add_argument(
        "urls",
        nargs="*",
        metavar="URL",
        help="asked for in turn, of one server (default: pages of the shop of `planb demo`)",
    )
    load = surge.add_mutually_exclusive_group()
    load.add_argument(
        "--times", type=_number(0.01, 1000), default=10.0, help="so many times what it serves (10)"
    )
    load.add_argument("--rate", type=_number(1, 100_000), help="requests a second, instead")
    surge.add_argument("--seconds", type=_number(1, 600), default=20.0, help="for how long (20)")
    surge.add_argument(
        "--patience", type=_number(0.05, 60), default=1.0, help="seconds for an answer (1)"
    )
    surge.add_argument(
        "--retries",
        type=int,
        choices=range(11),
        default=2,
        metavar="N",
        help="how often who got no answer tries again at once (2)",
    )
    surge.add_argument("--json", action="store_true", help="print the result as JSON, and no more")
    surge.add_argument(
        "--allow-public",
        action="store_true",
        help="also a host beyond this machine and private networks: only one that is yours",
    )


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return number


def _open_standard_descriptors() -> None:
    """Whoever starts us may have closed some: our sockets and files must not take their places."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end_at_once(number: int, _frame: object) -> None:
    os._exit(128 + number)


def _run(file: Path) -> int:
    # Until the event loop takes the signals over. Without a handler SIGINT would print a
    # traceback, and the first process of a container would not end at all. What a SIGHUP asks
    # for, loading the rules, is about to happen anyway.
    signal.signal(signal.SIGTERM, _end_at_once)
    signal.signal(signal.SIGINT, _end_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from proxy.app import StartError, run  # noqa: PLC0415
    from proxy.rules.problems import RulesError  # noqa: PLC0415

    try:
        return run(file, os.environ)
    except RulesError as error:
        _report(error)
        return 2
    except StartError as error:
        print(f"planb: {error}", file=sys.stderr)
        return 1


def _demo(file: Path) -> int:
    from proxy.demo.run import COUPONS_PORT, SHOP_PORT, run  # noqa: PLC0415
    from proxy.rules.load import load  # noqa: PLC0415
    from proxy.rules.problems import RulesError  # noqa: PLC0415

    urls = {"UPSTREAM": SHOP_PORT, "COUPONS": COUPONS_PORT}
    environment = {name: f"http://127.0.0.1:{port}" for name, port in urls.items()}
    try:
        rules = load(file, {**os.environ, **environment})
    except RulesError as error:
        _report(error)
        return 2
    listener, admin = rules.listeners[0], rules.admin
    outbound = [(each.host, each.port) for each in rules.listeners if each.outbound]
    return run(
        file,
        proxy_address=(listener.host, listener.port),
        admin_address=(admin.host, admin.port),
        to_coupons_address=outbound[0] if outbound else None,
    )


def _surge(options: argparse.Namespace) -> int:
    from proxy.surge.command import Options, run  # noqa: PLC0415

    try:
        return run(
            Options(
                urls=options.urls,
                times=options.times,
                rate=options.rate,
                seconds=options.seconds,
                patience=options.patience,
                retries=options.retries,
                as_json=options.json,
                allow_public=options.allow_public,
            )
        )
    except BrokenPipeError:  # `planb surge | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _check(files: list[Path]) -> int:
    from proxy.rules.load import load  # noqa: PLC0415
    from proxy.rules.problems import RulesError  # noqa: PLC0415

    code = 0
    for file in files:
        try:
            load(file, os.environ)
        except RulesError as error:
            _report(error)
            code = 2
        else:
            print(f"{file}: ok")
    return code


def _report(error: "RulesError") -> None:
    for problem in error.problems:
        print(problem, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
