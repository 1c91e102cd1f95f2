"""The panels of the dashboard on the server itself and its process, row by row."""

from shapes import RED, SERVER, chart, rate, stat, table

SERVER_ROWS = {
    "Server": [
        chart(
            "Readiness",
            "none",
            "ready: every model was prepared and one answers. draining: it stops, and answers what it accepted.",
            [
                (f"souk_ready{{{SERVER}}}", "{{instance}} ready"),
                (f"souk_draining{{{SERVER}}}", "{{instance}} draining"),
            ],
        ),
        chart(
            "Threads of forward passes",
            "none",
            "Those that are alive, and how many there should be (runtime.runners).",
            [
                (f"souk_runners{{{SERVER}}}", "{{instance}}"),
                (f"souk_runners_configured{{{SERVER}}}", "{{instance}} should be"),
            ],
        ),
        chart(
            "Busy share of threads",
            "percentunit",
            "Of those of forward passes and of those of sockets, which run small passes too.",
            [
                (f"{rate('souk_runner_busy_seconds_total', SERVER)} / souk_runners{{{SERVER}}}", "{{instance}} passes"),
                (f"{rate('souk_io_busy_seconds_total', SERVER)} / souk_io_threads{{{SERVER}}}", "{{instance}} sockets"),
            ],
            [(0.9, RED)],
        ),
        chart(
            "Connections",
            "percentunit",
            "Open ones, by how many there may be; further ones wait.",
            [(f"souk_connections{{{SERVER}}} / souk_connections_limit{{{SERVER}}}", "{{instance}} {{port}}")],
            [(0.8, RED)],
        ),
        chart(
            "Tasks",
            "none",
            "Of the threads of sockets: those that are alive, and those that were woken from outside and wait.",
            [
                (f"souk_io_tasks{{{SERVER}}}", "{{instance}}"),
                (f"souk_io_tasks_queued{{{SERVER}}}", "{{instance}} wait"),
            ],
        ),
        chart(
            "Telemetry that was not sent",
            "none",
            "In five minutes: pushes that the collector of telemetry.otlp_endpoint did not take.",
            [
                (
                    f"sum by (instance, signal) (increase(souk_telemetry_export_failures_total{{{SERVER}}}[5m]))",
                    "{{instance}} {{signal}}",
                )
            ],
        ),
        chart(
            "Traces that were dropped",
            "none",
            "In five minutes: requests beyond 1000 traces a second, 100 of errors, or 1024 that wait for the collector.",
            [(f"sum by (instance) (increase(souk_traces_dropped_total{{{SERVER}}}[5m]))", "{{instance}}")],
        ),
    ],
    "Process": [
        chart(
            "CPU",
            "none",
            "Cores that it keeps busy, on average.",
            [(rate("process_cpu_seconds_total", SERVER), "{{instance}}")],
            width=6,
        ),
        chart(
            "Memory",
            "bytes",
            "In use; the addresses that were given out are many times as much, and cost nothing.",
            [
                (f"process_resident_memory_bytes{{{SERVER}}}", "{{instance}}"),
                (f"process_virtual_memory_bytes{{{SERVER}}}", "{{instance}} addresses"),
            ],
            width=6,
        ),
        chart(
            "Descriptors",
            "percentunit",
            "Open ones by the system's limit, at which no connection can be accepted.",
            [(f"process_open_fds{{{SERVER}}} / process_max_fds{{{SERVER}}}", "{{instance}}")],
            [(0.8, RED)],
            width=6,
        ),
        chart(
            "Threads",
            "none",
            "All of them, those of libraries included.",
            [(f"process_threads{{{SERVER}}}", "{{instance}}")],
            width=6,
        ),
    ],
    "Build": [
        stat(
            "Runs since",
            "dateTimeFromNow",
            "The server that was started last.",
            f"1000 * max(process_start_time_seconds{{{SERVER}}} and on (job, instance) souk_build_info)",
            width=24,
        ),
        table("Servers", "Versions of Souk and libtorch.", f"souk_build_info{{{SERVER}}}", [], 16),
        chart(
            "Until the certificate ends",
            "s",
            "The server's own, as it was last read. From 14 days on somebody should look why it is not renewed.",
            [(f"min by (instance) (souk_tls_certificate_expiry_timestamp_seconds{{{SERVER}}}) - time()", "{{instance}}")],
        ),
    ],
}
