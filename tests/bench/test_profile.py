from tests.bench.profile import hottest

MAIN = "<module> (proxy/__main__.py:131)"
STACKS = f"""{MAIN};feed (proxy/wire/a.py:1);match (re.py:7) 30
{MAIN};feed (proxy/wire/a.py:2) 10
{MAIN};feed (proxy/wire/a.py:9) 10
wait (threading.py:3) 1000
"""


def test_lines_of_one_function_are_added_up() -> None:
    rows = hottest(STACKS).splitlines()[2:]
    assert rows[:2] == [
        "| match (re.py) | 60.0% | 60.0% |",
        "| feed (proxy/wire/a.py) | 40.0% | 100.0% |",
    ]


def test_threads_that_wait_are_left_out() -> None:
    assert "wait" not in hottest(STACKS)


def test_native_frames_without_a_line_are_kept_as_they_are() -> None:
    assert "| write (libc.so.6) | 100.0% |" in hottest(f"{MAIN};write (libc.so.6) 3\n")
