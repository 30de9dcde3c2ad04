"""govrun: keeps a compiled set of invariants true while an agent works in a repository.

Packages in the order in which data passes through them; each may import what is above it:

    vocabulary   frozen values: events, verdicts, invariants, acts and replies, errors
    profile      text -> profile (packs, decision records, merge)
    invariants   profile + host facts -> compiled policy, and its coverage
    decide       the one decision function
    kernel       the kernel's interfaces; the only user of ctypes
    confine      compiled policy -> confined child
    surfaces     world -> events
    commands     command lines -> what they would bring in
    inspection   the content of files -> what it says, in a process of its own
    trees        versions of files: the accepted ones, the states of a run, differences
    enforce      verdict -> world
    git          neutral environment; the only user of git processes
    journal      append-only, hash-chained, write-ahead
    operator     control socket, questions that wait for an answer, orders
    provenance   journal -> notes
    run          the loop, where everything is put together
    cli          one file per command; the only place that prints or exits
"""

__version__ = "0.5.0"
