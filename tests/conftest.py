"""How hypothesis searches, said once: the same examples every time, save in a soak, where they are new each time.

And Ctrl-C is heard: a job in a shell's background ignores it, as would the programs that tests start and interrupt.
"""

import signal

from hypothesis import HealthCheck, settings

UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # no test depends on the clock

settings.register_profile("quick", derandomize=True, **UNHURRIED)
settings.register_profile("soak", max_examples=5000, print_blob=True, **UNHURRIED)
settings.load_profile("quick")

signal.signal(signal.SIGINT, signal.default_int_handler)
