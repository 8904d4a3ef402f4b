"""For every test."""

import signal

# A shell's background job ignores Ctrl-C, and hands that down: tests that press it, here or in a process of theirs,
# would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
