"""How the running service is observed: logs, metrics, HTTP endpoints, systemd, a progress bar.

`reporter` learns from the loop what happened and passes it on; `server` shows it on a thread of its
own, and `health` holds what both threads see. Telemetry never stops the stream: what cannot be
written or sent is dropped. `metrics` lists every metric. Begin with `reporter`.
"""
