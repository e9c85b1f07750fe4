from tests.bench.wrk import read

REPORT = """Running 1s test @ http://127.0.0.1:1/refused/100
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05ms  305.41us   9.33ms   90.79%
    Req/Sec    59.38k     2.94k   63.40k    70.00%
  59086 requests in 1.00s, 9.69MB read
"""
REFUSED = (
    "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 59080\n"
)
SPEED = "Requests/sec:  59086.12\nTransfer/sec:      9.69MB\n"


def test_a_report_is_read() -> None:
    report = read(REPORT + SPEED)
    assert report.per_second == 59086.12
    assert report.answered == 59086
    assert (report.refused, report.broken) == (0, 0)


def test_refusals_and_broken_connections_are_counted() -> None:
    report = read(REPORT + REFUSED + SPEED)
    assert report.refused == 59080
    assert report.broken == 10
