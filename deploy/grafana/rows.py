"""The panels of the dashboard, row by row."""

from server_rows import SERVER_ROWS
from shapes import (
    CALLS,
    MODEL,
    RED,
    SERVER,
    STREAM,
    UNARY,
    VERSION,
    WITH_ERROR,
    YELLOW,
    chart,
    difference,
    mean,
    quantile,
    quantiles,
    rate,
    signed,
    stat,
    table,
)

# A share that may fail, a burn rate of 1 and of 14.4: see rules.yml.
ERRORS = [(0.001, YELLOW), (0.0144, RED)]
SLOW = [(0.01, YELLOW), (0.144, RED)]
STALE = 35 * 86400

ROWS = {
    "In a minute": [
        stat(
            "Alerts that fire",
            "none",
            "What each means, and what to do: deploy/RUNBOOK.md.",
            'count(ALERTS{alertname=~"Souk.*", alertstate="firing"}) or vector(0)',
            [(1, RED)],
        ),
        stat("Servers", "none", "That answer Prometheus.", f"sum(up{{{SERVER}}})"),
        stat(
            "Calls",
            "reqps",
            "Of all methods, health and reflection left out.",
            f"sum({rate('souk_requests_total', CALLS)})",
        ),
        stat(
            "Calls that fail",
            "percentunit",
            "Of five minutes, by the codes that the server is answerable for; promised are 0.1 % of 30 days.",
            'max(souk:call_errors:ratio_rate5m{job=~"$job"})',
            ERRORS,
        ),
        stat(
            "Calls over 50 ms",
            "percentunit",
            "Of the unary calls of five minutes; promised are 1 % of 30 days.",
            'max(souk:slow_calls:ratio_rate5m{job=~"$job"})',
            SLOW,
        ),
        stat(
            "Queue",
            "percentunit",
            "How full it is on the server where it is fullest, by rows; over batch.queue_rows they are refused.",
            f"max(souk_admitted_rows{{{SERVER}}} / souk_queue_rows_limit{{{SERVER}}})",
            [(0.5, YELLOW), (0.8, RED)],
        ),
    ],
    "Traffic": [
        chart(
            "Calls by method",
            "reqps",
            "Counted when they end; a stream is one call.",
            [(f"sum by (method) ({rate('souk_requests_total', SERVER)})", "{{method}}")],
            stacked=True,
        ),
        chart(
            "Calls by code",
            "reqps",
            "Without health and reflection. A caller who left is CANCELLED.",
            [(f"sum by (code) ({rate('souk_requests_total', CALLS)})", "{{code}}")],
            stacked=True,
        ),
        chart(
            "Rows by version",
            "rowsps",
            "Rows that each version was asked for: how the traffic is split.",
            [(f"sum by (model, version) ({rate('souk_rows_total', VERSION)})", "{{model}} {{version}}")],
            stacked=True,
        ),
        chart(
            "Features left out",
            "rowsps",
            "Rows that left a feature out, so that the manifest's default stood in. One that rises: a caller forgot it.",
            [(f"sum by (model, feature) ({rate('souk_features_defaulted_total', MODEL)}) > 0", "{{model}} {{feature}}")],
            width=24,
        ),
    ],
    "Latency": [
        chart(
            "Unary calls",
            "s",
            "From headers until the last byte was handed to the connection. Refused calls count, and are fast.",
            quantiles("souk_request_duration_seconds", UNARY, "method"),
            [(0.05, RED)],
        ),
        chart(
            "Scoring",
            "s",
            "From the moment a version was asked for rows of a request until it had answered them. Without rows that never ran.",
            quantiles("souk_scoring_seconds", MODEL, "model, lane"),
        ),
        chart(
            "Wait for a pass",
            "s",
            "From the end of encoding until a request's first row ran. Messages of streams give way to others.",
            quantiles("souk_queue_wait_seconds", MODEL, "model"),
        ),
        chart(
            "Forward pass",
            "s",
            "One pass, whatever its rows: see the rows of a pass below.",
            quantiles("souk_compute_seconds", VERSION, "model, version"),
        ),
        chart(
            "Calls that fail",
            "percentunit",
            "Over five minutes and over an hour. Where both are over the red line, 30 days' worth is gone in two.",
            [
                ('souk:call_errors:ratio_rate5m{job=~"$job"}', "{{job}} 5 min"),
                ('souk:call_errors:ratio_rate1h{job=~"$job"}', "{{job}} 1 h"),
            ],
            ERRORS,
        ),
        chart(
            "Calls over 50 ms",
            "percentunit",
            "Over five minutes and over an hour. Where both are over the red line, 30 days' worth is gone in two.",
            [
                ('souk:slow_calls:ratio_rate5m{job=~"$job"}', "{{job}} 5 min"),
                ('souk:slow_calls:ratio_rate1h{job=~"$job"}', "{{job}} 1 h"),
            ],
            SLOW,
        ),
        chart(
            "Streams",
            "s",
            "From the headers to the end of the whole stream, which is as long as its caller likes.",
            quantiles("souk_request_duration_seconds", STREAM, "method"),
        ),
    ],
    "Queue and batches": [
        chart(
            "Rows that wait",
            "none",
            "At each scrape, of each model.",
            [(f"sum by (instance, model) (souk_queue_rows{{{MODEL}}})", "{{instance}} {{model}}")],
        ),
        chart(
            "How full the queue is",
            "percentunit",
            "What is encoded, waits or runs: rows by batch.queue_rows, bytes by batch.queue_bytes. More is refused.",
            [
                (f"souk_admitted_rows{{{SERVER}}} / souk_queue_rows_limit{{{SERVER}}}", "{{instance}} rows"),
                (f"souk_queue_bytes{{{SERVER}}} / souk_queue_bytes_limit{{{SERVER}}}", "{{instance}} bytes"),
            ],
            [(0.8, RED)],
        ),
        chart(
            "Rows of a pass",
            "none",
            "Passes of 1 row: nobody waits. Of batch.max_rows, by default 256: more would come together.",
            [
                (mean("souk_batch_rows", VERSION, "model, version"), "{{model}} {{version}} mean"),
                (quantile(0.99, "souk_batch_rows", VERSION, "model, version"), "{{model}} {{version}} p99"),
            ],
        ),
        chart(
            "Passes at a time",
            "none",
            "Forward passes that run at the same time, on average. Near to the cores, they are the limit.",
            [(f"sum by (instance, model) ({rate('souk_compute_seconds_sum', VERSION)})", "{{instance}} {{model}}")],
            stacked=True,
        ),
    ],
    "Refusals": [
        chart(
            "Rows that were never run",
            "rowsps",
            "queue_full, queue_bytes: the queue's bounds. wait: longer than batch.queue_wait. "
            "deadline: could not be met. expired: it passed meanwhile. cancelled: the caller left. rate: his identity's rows_per_second.",
            [(f"sum by (reason) ({rate('souk_shed_rows_total', MODEL)})", "{{reason}}")],
            stacked=True,
        ),
        chart(
            "Rows with an error",
            "rowsps",
            "failed: the model failed on them. refused: they can't be encoded, which the caller has to mend.",
            [
                (
                    f"sum by (model, version, outcome) ({rate('souk_rows_total', WITH_ERROR)})",
                    "{{model}} {{version}} {{outcome}}",
                )
            ],
            stacked=True,
        ),
        chart(
            "What must not happen",
            "none",
            "In five minutes: rows run after their deadline, and threads of forward passes that died.",
            [
                (f"sum by (model) (increase(souk_late_rows_run_total{{{MODEL}}}[5m]))", "late rows of {{model}}"),
                (f"sum(increase(souk_runner_restarts_total{{{SERVER}}}[5m]))", "runners replaced"),
            ],
        ),
    ],
    "Models": [
        table(
            "Who answers",
            "Each version that answers, by its label, on each server.",
            f"souk_model_live{{{VERSION}}}",
            ["job"],
            8,
        ),
        chart(
            "Age",
            "s",
            "Since each version in memory was trained. From 35 days on SoukModelStale tells of a stable one.",
            [(f"max by (model, version) (souk_model_age_seconds{{{VERSION}}})", "{{model}} {{version}}")],
            [(STALE, RED)],
        ),
        chart(
            "Versions that stay out",
            "none",
            "Since each server began, by the file or step at fault. Why: souk models show MODEL.",
            [
                (
                    f"sum by (instance, model, reason) (souk_model_load_failures_total{{{MODEL}}})",
                    "{{instance}} {{model}} {{reason}}",
                )
            ],
        ),
        chart(
            "Versions that were prepared",
            "none",
            "Since each server began.",
            [(f"sum by (instance, model) (souk_model_load_seconds_count{{{MODEL}}})", "{{instance}} {{model}}")],
            width=12,
        ),
        chart(
            "Time to prepare a version",
            "s",
            "The mean since each server began; what takes longer than models.prepare_timeout stays out.",
            [
                (
                    f"sum by (instance, model) (souk_model_load_seconds_sum{{{MODEL}}})"
                    f" / sum by (instance, model) (souk_model_load_seconds_count{{{MODEL}}})",
                    "{{instance}} {{model}}",
                )
            ],
            width=12,
        ),
    ],
    "Versions on trial": [
        chart(
            "Rows for comparison",
            "rowsps",
            "dropped: too many waited. failed: the version can't encode them, failed, or gave no number.",
            [
                (
                    f"sum by (model, version, outcome) ({rate('souk_shadow_rows_total', VERSION)})",
                    "{{model}} {{version}} {{outcome}}",
                )
            ],
            stacked=True,
        ),
        chart(
            "Relative difference",
            "percentunit",
            "Sum of the absolute differences by that of the live version's answers, over ten minutes.",
            [(difference("relative"), "{{model}} {{version}} {{head}}")],
        ),
        signed(
            chart(
                "Mean difference",
                "none",
                "The other version's answer less the live one's, in units of the head.",
                [(difference("mean"), "{{model}} {{version}} {{head}}")],
            )
        ),
        chart(
            "Absolute differences",
            "none",
            "In units of the head.",
            [
                (difference("p50"), "{{model}} {{version}} {{head}} p50"),
                (difference("p99"), "{{model}} {{version}} {{head}} p99"),
            ],
        ),
        signed(
            chart(
                "Order of rows",
                "none",
                "Spearman's rank correlation, and how much of the tenth with the largest answers is the same.",
                [
                    (difference("rank_correlation"), "{{model}} {{version}} {{head}} correlation"),
                    (difference("top_decile_overlap"), "{{model}} {{version}} {{head}} top tenth"),
                ],
            )
        ),
        chart(
            "Canaries taken back",
            "none",
            "By the guard, in an hour, by the limit that was broken.",
            [
                (
                    f"sum by (model, limit) (increase(souk_canaries_taken_back_total{{{MODEL}}}[1h]))",
                    "{{model}} {{limit}}",
                )
            ],
            width=24,
        ),
        chart(
            "Cost beside the live version",
            "none",
            "Time of a pass of the same rows by the live version's. A canary's limits are 3 unless changed.",
            [
                (f"max by (model, version) ({difference('latency_ratio')})", "{{model}} {{version}} time"),
                (f"max by (model, version) ({difference('cost_ratio')})", "{{model}} {{version}} CPU"),
            ],
            [(3, RED)],
        ),
    ],
    **SERVER_ROWS,
}
