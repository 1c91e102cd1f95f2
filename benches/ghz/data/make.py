#!/usr/bin/env python3
"""Writes one.json and mixed.json, the requests that `make load` sends, from golden rows of merchant_gmv.

    python3 benches/ghz/data/make.py

ghz sends the requests of a file in turn. The rows are ordinary merchants with short series, so that the
files stay small; the golden rows' corners (unset, unknown, extreme) are left out.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE.parents[2] / "models" / "merchant_gmv" / "1" / "golden.jsonl"
# The corners come first.
FIRST_ORDINARY = 43
LONGEST = 1200
MIXED = (1, 2, 4, 8, 16, 32)


def main() -> None:
    rows = [json.loads(line)["row"] for line in GOLDEN.read_text("utf-8").splitlines()]
    short = [row for row in rows[FIRST_ORDINARY:] if len(dumped(row)) < LONGEST]
    write("one.json", [{"merchants": [row]} for row in short])
    write("mixed.json", [{"merchants": [short[place % len(short)] for place in range(count)]} for count in MIXED])


def write(name: str, requests: list[dict]) -> None:
    text = "[\n" + ",\n".join(dumped(request) for request in requests) + "\n]\n"
    (HERE / name).write_text(text, "utf-8")
    print(f"{name}: {len(requests)} requests, {len(text.encode())} bytes")


def dumped(value: dict) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
