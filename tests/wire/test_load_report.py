import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.load_report import LARGEST_VALUE, LONGEST_REPORT, read_load_report


@pytest.mark.parametrize(
    ("value", "metrics"),
    [
        (b"TEXT cpu_utilization=0.7", {"cpu_utilization": 0.7}),
        (
            b"TEXT cpu_utilization=0.7, mem_utilization = 0.5,application_utilization=1.2",
            {"cpu_utilization": 0.7, "mem_utilization": 0.5, "application_utilization": 1.2},
        ),
        # As vLLM and some of Envoy's versions write it.
        (b"TEXT named_metrics.kv_cache=4e-1", {"named_metrics.kv_cache": 0.4}),
        (b"cpu_utilization:0.7,named_metrics.a:1", {"cpu_utilization": 0.7, "named_metrics.a": 1}),
        (b"TEXT cpu_utilization=1.", {"cpu_utilization": 1}),
        (b"TEXT cpu_utilization=.5", {"cpu_utilization": 0.5}),
        (b'JSON {"cpu_utilization": 0.9}', {"cpu_utilization": 0.9}),
        (
            b'JSON {"cpuUtilization": 1, "namedMetrics": {"a": 2.5}}',
            {"cpu_utilization": 1, "named_metrics.a": 2.5},
        ),
    ],
)
def test_a_report_is_read(value: bytes, metrics: dict[str, float]) -> None:
    assert read_load_report(value) == metrics


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"TEXT",
        b"TEXT ",
        b"BIN CQAAAAAAAOA/",
        b"XML <a/>",
        b"TEXT cpu_utilization",
        b"TEXT cpu_utilization=",
        b"TEXT cpu_utilization=-0.1",
        b"TEXT cpu_utilization=nan",
        b"TEXT cpu_utilization=inf",
        b"TEXT cpu_utilization=1e99",
        b"TEXT cpu_utilization=1_0",
        b"TEXT cpu_utilization=0x1",
        b"TEXT cpu_utilization=1.2.3",
        b"TEXT cpu_utilization=\xb2",
        b"TEXT cpu_utilization=90%",
        b"TEXT cpu_utilization=0.1, cpu_utilization=0.9",
        b"TEXT rps_fractional=100",
        b"TEXT named_metrics.=1",
        b"TEXT named_metrics=1",
        b"JSON",
        b"JSON {",
        b"JSON []",
        b"JSON 0.9",
        b"JSON null",
        b'JSON {"cpu_utilization": "0.9"}',
        b'JSON {"cpu_utilization": true}',
        b'JSON {"cpu_utilization": NaN}',
        b'JSON {"cpu_utilization": Infinity}',
        b'JSON {"cpu_utilization": -1}',
        b'JSON {"cpu_utilization": null}',
        b'JSON {"cpu_utilization": 0.1, "cpu_utilization": 0.9}',
        b'JSON {"named_metrics": [1]}',
        b"JSON " + b"[" * 4000,
        b"JSON " + b"9" * 4000,
        b'JSON {"cpu_utilization": ' + b"9" * 3000 + b"}",
        b"TEXT cpu_utilization=0.5," + b" " * LONGEST_REPORT,
    ],
)
def test_what_is_no_number_in_range_told_once_is_left_out(value: bytes) -> None:
    assert read_load_report(value) == {}


def test_one_bad_metric_leaves_the_others() -> None:
    assert read_load_report(b"TEXT cpu_utilization=x, mem_utilization=0.5") == {
        "mem_utilization": 0.5
    }


def test_no_report_takes_long() -> None:
    """However many parts fit in."""
    assert len(read_load_report(b"TEXT " + b"named_metrics.a=1," * 200)) == 0
    assert len(read_load_report(b"JSON {" + b'"":0,' * 800 + b'"":0}')) == 0
    many = b",".join(b"named_metrics.m%d=1" % each for each in range(190))
    assert 0 < len(read_load_report(b"TEXT " + many)) <= 64


@given(st.binary(max_size=80), st.sampled_from([b"", b"TEXT ", b"JSON "]))
def test_whatever_comes_there_are_numbers_in_range_or_nothing(value: bytes, start: bytes) -> None:
    for name, metric in read_load_report(start + value).items():
        assert name
        assert 0.0 <= metric <= LARGEST_VALUE
