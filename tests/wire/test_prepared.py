from proxy.policy.answers import Answer, Form
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ConcurrencySpec, LimitSpec, RateSpec, SharedRateSpec
from proxy.wire.answer import render
from proxy.wire.prepared import MOST_ANSWERS, MOST_BYTES, PreparedAnswers
from proxy.wire.rate_limit import rate_limit_fields

NOW, THEN = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:38 GMT"


def form(word: bytes) -> Form:
    return Form("text/html", "en", b"HTTP/1.1 429 No\r\n", b"A: 1\r\n", (word + b" ", b" s"))


ANSWER = Answer(Reason.RATE, 429, (form(b"wait"), form(b"warte")))
EMPTY = Answer(Reason.RATE, 204, ANSWER.forms)

RATES = {name: RateSpec(name, 5.0, 1, quota=5, window=1) for name in ("a", "b")}


def sent(
    answers: PreparedAnswers,
    answer: Answer = ANSWER,
    number: int = 0,
    *,
    date: bytes = NOW,
    retry_after: int | None = 2,
    limit: LimitSpec | None = None,
    wait: float = 0.0,
    more: bytes = b"",
    extra: bytes = b"",
    close: bool = False,
    head_only: bool = False,
) -> bytes:
    """What the prepared answers give, which must be what is rendered with `extra`."""
    form = answer.forms[number]
    data = answers.render(
        answer,
        form,
        date=date,
        retry_after=retry_after,
        limit=limit,
        wait=wait,
        more=more,
        close=close,
        head_only=head_only,
    )
    assert data == render(
        answer,
        form,
        date=date,
        retry_after=retry_after,
        extra=extra,
        close=close,
        head_only=head_only,
    )
    return data


def test_whatever_differs_is_rendered_apart() -> None:
    answers = PreparedAnswers()
    for _ in range(2):
        sent(answers)
        sent(answers, EMPTY)
        sent(answers, number=1)
        sent(answers, retry_after=0)
        sent(answers, retry_after=None)
        for wait, told in ((1.2, 2), (3.0, 3), (0.0, 0)):
            for name in ("a", "b"):
                extra = rate_limit_fields(name, 5, 1, told)
                sent(answers, limit=RATES[name], wait=wait, extra=extra)
        sent(answers, limit=ConcurrencySpec("c", 1), wait=1.0)
        sent(answers, close=True)
        sent(answers, head_only=True)
        sent(answers, date=THEN)


def test_the_same_answer_is_rendered_once_a_second() -> None:
    answers = PreparedAnswers()
    first = sent(answers)
    assert sent(answers) is first
    sent(answers, date=THEN)
    assert sent(answers) is not first


def test_the_answers_of_other_rules_are_never_mistaken() -> None:
    answers = PreparedAnswers()
    for number in range(1000):
        sent(answers, Answer(Reason.RATE, 200 + number, (form(b"%d" % number),)))


def test_no_more_than_a_bounded_number_is_kept() -> None:
    answers = PreparedAnswers()
    kept = [sent(answers, retry_after=number) for number in range(MOST_ANSWERS)]
    beyond = sent(answers, retry_after=MOST_ANSWERS)
    assert sent(answers, retry_after=0) is kept[0]
    assert sent(answers, retry_after=MOST_ANSWERS - 1) is kept[-1]
    assert sent(answers, retry_after=MOST_ANSWERS) is not beyond


def test_no_more_than_a_bounded_size_is_kept() -> None:
    large = Answer(Reason.RATE, 429, (form(b"x" * (MOST_BYTES // 2 - 1000)),))
    answers = PreparedAnswers()
    for date in (THEN, NOW):
        kept = [sent(answers, large, date=date, close=close) for close in (False, True)]
        beyond = sent(answers, large, date=date, retry_after=9)
        assert sent(answers, large, date=date) is kept[0]
        assert sent(answers, large, date=date, retry_after=9) is not beyond


def test_a_caller_is_told_its_share_besides_and_nobody_what_all_share() -> None:
    answers = PreparedAnswers()
    told = rate_limit_fields("a", 5, 1, 1)
    for share in (b"B: 1\r\n", b"B: 2\r\n", b""):
        sent(answers, limit=RATES["a"], wait=0.5, more=share, extra=told + share)
    shared = SharedRateSpec("shared", 5.0, 1, quota=5, window=1)
    sent(answers, limit=shared, wait=0.5)
