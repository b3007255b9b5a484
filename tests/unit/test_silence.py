"""A peer is given up after its silence, not after ours."""

from __future__ import annotations

from wsplatform.core.silence import Silence


def looks(silence: Silence, *moments: float) -> list[bool]:
    return [silence.look(moment) for moment in moments]


def test_silence_is_noticed_within_the_time():
    silence = Silence(heartbeat=1.0, dead=3.0, now=0.0)
    assert looks(silence, 1.0, 2.0, 3.0) == [False, False, False]
    assert looks(silence, 4.0) == [True]


def test_whoever_is_heard_is_not_given_up():
    silence = Silence(heartbeat=1.0, dead=3.0, now=0.0)
    for moment in range(1, 100):
        if moment % 2:
            silence.heard()
        assert not silence.look(float(moment))


def test_a_pause_of_our_own_is_no_alarm():
    silence = Silence(heartbeat=1.0, dead=3.0, now=0.0)
    assert looks(silence, 1.0, 601.0) == [False, False]
    silence.heard()
    assert looks(silence, 602.0) == [False]
