from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from sandbox_server.credit import Credit


class Books(RuleBasedStateMachine):
    """A client that keeps its own books by the contract, beside the server's."""

    samples = Bundle("samples")
    sleepers = Bundle("sleepers")

    @initialize(first=st.integers(1, 5), beyond=st.integers(-2, 6))
    def open(self, first: int, beyond: int) -> None:
        self.first, self.most = first, first + max(0, beyond)
        self.credit = Credit(first, first + beyond)
        self.left = first
        self.asleep = 0

    @rule(target=samples)
    def send(self) -> object:
        taken = self.credit.use()
        assert taken == (self.left > 0)
        self.left -= taken
        return taken

    @rule(sample=consumes(samples))
    def answer(self, sample: object) -> None:
        if sample:
            self.credit.give_back()
            self.left += 1

    @rule(target=sleepers, sample=consumes(samples))
    def fall_asleep(self, sample: object) -> object:
        if sample:
            self.asleep += 1
            self.left += self.credit.park()
        return sample

    @rule(target=samples, sample=consumes(sleepers))
    def wake_up(self, sample: object) -> object:
        if sample:
            self.asleep -= 1
            self.credit.unpark()
        return sample

    @invariant()
    def both_books_agree(self) -> None:
        assert self.left == self.credit.granted - self.credit.used >= 0

    @invariant()
    def nothing_grows_without_bound(self) -> None:
        assert self.first <= self.credit.granted <= self.most

    @invariant()
    def sleepers_keep_no_credit_from_others(self) -> None:
        assert self.credit.granted >= min(self.first + self.asleep, self.most)
        assert self.credit.parked == self.asleep


TestBooks = Books.TestCase


def test_one_sample_that_naps_again_and_again_is_granted_for_once() -> None:
    credit = Credit(2, 100)
    assert credit.use()
    granted = []
    for _ in range(50):
        granted.append(credit.park())
        credit.unpark()
    assert granted == [1] + [0] * 49
    assert credit.granted == 3
