"""How much work a call is, whatever else the machine or the test run is doing."""

import gc
import time


def timed(call, *arguments, **options):
    """Its result and the processor seconds of this thread.

    What the tests before it left behind is put out of the garbage collector's reach meanwhile:
    one sweep over a long run's objects can take longer than the call.
    """
    gc.freeze()
    try:
        start = time.thread_time()
        result = call(*arguments, **options)
        return result, time.thread_time() - start
    finally:
        gc.unfreeze()
