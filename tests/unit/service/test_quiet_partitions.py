from detectd.service.quiet_partitions import QuietPartitions


def look(quiet, seconds, events, behind=()):
    """Look once a second; return at which of them a partition was quiet."""
    found = {}
    for now in seconds:
        for name in quiet.look(events, behind, float(now)):
            found.setdefault(name, now)
    return found


def test_a_partition_is_quiet_after_the_span_and_others_are_not():
    quiet = QuietPartitions(10.0)
    assert look(quiet, range(8), {"t/0": 5, "t/1": 5}) == {}
    assert look(quiet, range(8, 20), {"t/0": 5, "t/1": 6}) == {"t/0": 11, "t/1": 19}
    assert look(quiet, range(20, 22), {"t/0": 7, "t/1": 6}) == {"t/1": 20}


def test_a_partition_with_records_that_are_not_read_yet_is_not():
    quiet = QuietPartitions(10.0)
    assert look(quiet, range(50), {"t/0": 5}, behind=["t/0"]) == {}
    assert look(quiet, range(50, 70), {"t/0": 5}) == {"t/0": 60}


def test_time_in_which_this_process_did_not_look_counts_little():
    quiet = QuietPartitions(10.0)
    assert look(quiet, [0, 100, 200, 300, 400], {"t/0": 5}) == {}
    assert look(quiet, [500], {"t/0": 5}) == {"t/0": 500}


def test_one_that_was_away_begins_anew():
    quiet = QuietPartitions(10.0)
    look(quiet, range(9), {"t/0": 5})
    look(quiet, range(9, 11), {})
    assert look(quiet, range(11, 20), {"t/0": 5}) == {}
