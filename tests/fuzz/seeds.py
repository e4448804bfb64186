"""Where the fuzzer begins: an input for each way in, and for each kind of record that once hurt."""

from __future__ import annotations

from tests.fuzz.path import BETWEEN

JSON = (
    b'{"a": 1.5, "b": -2, "host": "web-1", "at": "2026-11-29T01:00:00Z"}',
    b'{"a": 0, "b": 1e160, "host": {"k": [1]}, "at": 1795860000}',
    b'{"a": -1e300, "b": 1e308, "host": "\\ud83d\\u0000", "at": 9223372036854775807}',
    b'{"a": [{"b": "1,5"}], "c": "NaN", "host": {"x": null}, "at": "20261129"}',
    b'{"a": {"x": true}, "b": null}',
    b'{"a":1' + b"0" * 320 + b',"b":1}',
    b'{"a":1,"b":2,"host":1' + b"0" * 4301 + b"}",
    b'{"a":1,"b":2,"host":' + b'{"k":' * 140 + b"0" + b"}" * 141,
    b'{"a":1,"b":2,"host":' + b'{"k":' * 980 + b"0" + b"}" * 981,
    b'\xef\xbb\xbf{"a":1,\r\n"b":2}',
    b'{"a":1,"a":2,"b":3,"":{}}',
    b"[1,2]",
    b"\x00\xff\xfe",
    b'{"id":"e:1","stage":"decode","error":"","raw":"x","raw_encoding":"utf-8","key_base64":"?"}',
    b'{"id":"e/\\u0661/1","stage":"","error":"","raw":"x","raw_encoding":"utf-8","timestamp":-1}',
    b"",
)
CSV = (
    b'2026-11-29,1,2,"x"',
    b'1795860000,1e160,-1e300,"a""b\n\x00"',
    b"1,5;-2,5;K\xf6ln",
    b"NaN;\\N;-",
    b'"open',
)
AVRO = (
    b"\0\0\0\0\7\x02" + b"\0" * 7 + b"\xf0\x3f" + b"\x02\x05" + b"\0\0\x80\x3f" + b"\0\0",
    b"\0\0\0\0\7" + b"\x04\x02\x02\0" + b"\x02\x7f" + b"\0\0\xc0\x7f" + b"\x02\x06abc" + b"\x7f",
    b"\0\0\0\0\7" + b"\0\x02\1\0\0\0\0\x06" * 120,
    b"\0\xff\xff\xff\xff",
)


def seeds() -> list[bytes]:
    """Return inputs of `path.one_input`."""
    found = []
    for world in range(7):
        kinds = AVRO if world == 6 else CSV if world in {4, 5} else JSON
        for options in (0, 1, 2, 60, 64):
            found += [bytes([world, options]) + kind for kind in kinds]
            found.append(bytes([world, options]) + BETWEEN.join(kinds[:8]))
    return found
