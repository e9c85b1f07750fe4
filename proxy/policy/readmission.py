"""Ends requests that got no answer, and lets some of them in once more."""

from collections.abc import Callable, Sequence

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.admission import Admission, leave_gates
from proxy.policy.outcome import of_silence
from proxy.policy.reasons import Reason
from proxy.policy.retrying import Failure
from proxy.policy.verdict import WAIT, Completion, Permit, Verdict, Waiting


class Readmission(Admission):
    """What becomes of a request that was sent in vain: the third part of the engine.

    `draining`: nobody is let in any more.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.draining = False

    def retry(
        self, verdict: Verdict, failure: Failure, now: float, wake: Callable[[], None]
    ) -> bool:
        """Whether what was forwarded, and failed, is to be sent once more; or if not, the failure
        is final. If so this attempt has ended, and `verdict` waits for the next (`wake` is as in
        `decide`), with no permit in hand; then gates, and all limits that permits are of, are asked
        anew, and no others.

        To be called for each failed attempt while nothing of an answer has gone to the client.
        """
        retrying = verdict.guard.retrying
        if retrying is None:
            return False
        if verdict.attempts > 1:
            retrying.failed += 1
        if self.draining:
            return False
        pause = retrying.pause(verdict.attempts, failure, verdict.deadline - now, now)
        if pause is None:
            return False
        if verdict.stamps:
            outcome = of_silence(failure.reason, verdict.guard.failures)
            leave_gates(verdict, outcome, failure.silence, now)
        adaptive = verdict.adaptive
        if adaptive is not None:
            failed = Completion(0, 0.0, 0.0, failure.reason, failure.silence)
            self._unanswered(verdict, adaptive, failed, now)
        verdict.guard.counters.in_flight -= 1
        verdict.decided_at = now - verdict.waited
        wanted = _let_go(verdict)
        verdict.waiting = Waiting(wanted, (), now + pause, wake)
        verdict.state = WAIT
        for concurrency, key in wanted:
            if concurrency.limiter.waiting:
                self._admit_waiters(concurrency.limiter, key, now)
        if adaptive is not None and adaptive.queue.waiting:
            self._admit_queue(adaptive, now)
        return True

    def _admit_again(self, verdict: Verdict, waiting: Waiting, now: float) -> None:
        """The pause before another attempt is over."""
        if self.draining:
            self._refuse(verdict, Reason.DRAINING, now)
            return
        for gate in verdict.guard.gates:
            if (wait := gate.wait(now)) > 0.0:
                self._refuse_by_gate(verdict, gate, wait, now)
                return
        self._admit(verdict, waiting, now)

    def _unanswered(
        self, verdict: Verdict, adaptive: AdaptiveLimiter, completion: Completion, now: float
    ) -> None:
        """A forwarded verdict ends without an answer of the upstream."""
        verdict.adaptive = None
        silence, reason = completion.silence, completion.reason
        if reason is Reason.UPSTREAM_TIMEOUT:
            # It may not have taken the connection, or the request, in time.
            age = silence or now - verdict.decided_at - verdict.waited
            adaptive.failed(age, verdict.began_with, now)
        elif not silence:
            adaptive.release()
        elif reason is Reason.UPSTREAM_ERROR:
            adaptive.failed(silence, verdict.began_with, now)
        elif reason is Reason.DEADLINE or (reason is None and not completion.status):
            adaptive.forsaken(silence, verdict.began_with, now)
        else:
            adaptive.release()


def _let_go(verdict: Verdict) -> Sequence[Permit]:
    """Releases the permits that others may wait for: the pause would take many times as many as
    the requests do. What shadows hold says for how long a request takes, pauses and all.
    """
    enforced = verdict.guard.concurrencies
    wanted = [held for held in verdict.holds if held[0] in enforced]
    verdict.holds = [held for held in verdict.holds if held[0] not in enforced]
    for concurrency, key in wanted:
        concurrency.limiter.release(key)
    return wanted
