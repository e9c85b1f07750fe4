from proxy.policy.reasons import REQUEST_AT_FAULT, RETRY_LATER, Reason


def test_a_reason_is_its_word() -> None:
    assert str(Reason.RATE) == "rate"
    assert f"{Reason.QUEUE_TIMEOUT}" == "queue_timeout"


def test_the_status_tells_whose_fault_it_is() -> None:
    for reason in Reason:
        at_fault = reason.status // 100 == 4 and reason.status != 429
        assert (reason in REQUEST_AT_FAULT) == (at_fault or reason is Reason.NOT_IMPLEMENTED)


def test_nobody_is_asked_to_send_a_bad_request_again() -> None:
    assert not REQUEST_AT_FAULT & RETRY_LATER
