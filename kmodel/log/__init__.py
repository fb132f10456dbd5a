"""The event log of a run: written through structlog, read back as a stream, shown by CPU.

    record    one line of a log: its keys, its checksum, the header
    runs      where runs live on disk, and what to say when that fails
    recorder  an observer that writes a run down, or only takes its digest
    reader    records of a finished, unfinished or damaged run
    closing   what a ``with`` closes at its end
    damage    what can be wrong with a log, and telling one harm from another
    near      names that nothing has, and those that are near
    filter    which records somebody wants to see
    show      a run as columns, one a CPU
    vocabulary schema   what each event is; the JSON Schema and the page made from that
    span spans holds    what lasts longer than an event
    stats               a run in numbers
    loop                what goes round for ever
    waker     who let a thread go: the one place that arrows and sentences ask
    query duck          SQL over the events, on sqlite or DuckDB
    timeline            a window of steps as bars, marks and arrows; drawn by
    grid picture webpage    in characters, as SVG, as a page (with what state and tables say)
    legend lettering        of a picture: what its colours mean; how wide a text is
    parting             where two runs part
    tracks              slices, counters and flows, for chrome and perfetto
    tabular sequence lnav   the same events for other programs; whole files only (whole)
    names expression    a world's objects, and a language that can only look at them

Importing this loads nothing: only ``recorder`` needs structlog.
"""
