from events import rates
from events.rates import Rate


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def test_a_burst_then_so_many_a_second(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    rate = Rate(per_second=10, burst=5)
    assert [rate.allows() for _ in range(7)] == [True] * 5 + [False] * 2
    assert rate.refused == 2
    clock.now += 0.2
    assert [rate.allows() for _ in range(3)] == [True, True, False]
    assert rate.refused == 3, "still counted: it never was full again"
    clock.now += 100
    assert rate.allows()
    assert rate.refused == 0


def test_zero_is_no_limit():
    rate = Rate(per_second=0, burst=1)
    assert all(rate.allows() for _ in range(1000))
