"""Pieces of a MODEL_CARD.md: sections and tables."""

from __future__ import annotations


def section(title: str, *paragraphs: str) -> str:
    """A second-level heading with its paragraphs."""
    return f"## {title}\n\n" + "\n\n".join(paragraphs) + "\n"


def table(header: list[str], lines: list[list]) -> str:
    """A Markdown table; numbers are right-aligned and floats shown with three decimals."""
    numeric = [all(isinstance(line[column], (int, float)) for line in lines) for column in range(len(header))]
    rule = ["---:" if right else "---" for right in numeric]
    rows = [header, rule, *([_cell(value) for value in line] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def bullets(*items: str) -> str:
    """A list, one line an item."""
    return "\n".join(f"- {item}" for item in items)


def card(title: str, summary: str, *sections: str) -> str:
    """The whole page."""
    return f"# {title}\n\n{summary}\n\n" + "\n".join(sections)


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
