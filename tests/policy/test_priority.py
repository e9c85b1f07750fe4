from proxy.policy.priority import Priority


def test_the_more_important_is_the_greater() -> None:
    assert Priority.CRITICAL > Priority.HIGH > Priority.NORMAL > Priority.LOW
