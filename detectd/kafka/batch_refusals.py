"""Find out which records of a batch the brokers refuse, with kafka-python.

A broker refuses a batch as a whole, and names the invalid records if it validates them one by one.
kafka-python sets the same kind of error on all of them, and on those not sent yet; so those that
the broker named are marked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.kafka.error_codes import Kind, Meaning
from detectd.kafka.errors import RecordsRefused, kafka_python_meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMED = "detectd_meaning"


def name_refused(producer: Any) -> None:
    """Make the producer mark the errors of records that a broker named, and split no batch."""
    sender = producer._sender  # noqa: SLF001 - there is no other place that knows
    of_library = sender._record_exceptions_fn  # noqa: SLF001

    def exceptions(whole: BaseException, named: Any, text: str) -> Callable[[int], BaseException]:
        found = of_library(whole, named, text)
        numbers = {number for number, _ in named or ()}

        def exception(number: int) -> BaseException:
            error: BaseException = found(number)
            if number in numbers:
                setattr(error, NAMED, kafka_python_meaning(whole))
            return error

        return exception

    sender._record_exceptions_fn = exceptions  # noqa: SLF001
    # It would split a batch that is too large, and then neither flush nor count correctly.
    sender._can_split = lambda *_: False  # noqa: SLF001


def require_sound(failed: Mapping[int, BaseException | None]) -> None:
    """Raise RecordsRefused if these errors, by the number of the record, are the records' own."""
    certain: dict[int, Meaning] = {}
    suspects: dict[int, Meaning] = {}
    for number, error in failed.items():
        named: Meaning | None = getattr(error, NAMED, None)
        if named is not None:
            certain[number] = named
        elif error is not None and (found := kafka_python_meaning(error)).kind is Kind.RECORD:
            suspects[number] = found
    if len(failed) == len(suspects) == 1:
        certain, suspects = suspects, {}
    if certain or suspects:
        raise RecordsRefused(certain, suspects)
