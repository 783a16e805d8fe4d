"""Hypothesis profiles: HYPOTHESIS_PROFILE=long searches longer and at random."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


class EndlessLoop(BaseException):
    """No Exception, or hypothesis would shrink it: run it again and again, without a clock."""


@pytest.fixture
def no_endless_loop():
    """Turn a solver that never comes back into a failure, where the system has an alarm clock."""

    def give_up(*_):
        raise EndlessLoop("still running after its time")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120 if settings.default.max_examples <= 60 else 3600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
