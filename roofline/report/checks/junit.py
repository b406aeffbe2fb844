"""JUnit XML, as Ant defined it and build servers read it: a suite for each kind of test, a case for each thing tested.

Elements and attributes are those that both the schema of Ant's reports and that of Jenkins know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from roofline.report.checks.words import Tested, tested, verdict

UNDATED = "1970-01-01T00:00:00"
# What XML 1.0 can't hold, even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: Mapping[str, Any], *, timestamp: str = UNDATED, **_: Any) -> str:
    """The report; `timestamp` is when the check ran, to the second and without a zone."""
    suites = groupby(tested(result), key=lambda item: item.suite)
    parts = [_suite(number, name, list(items), timestamp, result) for number, (name, items) in enumerate(suites)]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", *parts, "</testsuites>", ""])


def _suite(number: int, name: str, items: list[Tested], timestamp: str, result: Mapping[str, Any]) -> str:
    counts = {"tests": len(items), "failures": sum(item.failed for item in items), "errors": 0, "skipped": 0}
    about = {"name": name, "package": "roofline", "id": number, "timestamp": timestamp, "hostname": "localhost"}
    properties = {"roofline": result["version"], "config": result["config"], "baseline": result["baseline"]}
    lines = [f"  <testsuite{_attributes(about | counts | {'time': 0})}>", "    <properties>"]
    lines += [f"      <property{_attributes({'name': key, 'value': value})}/>" for key, value in properties.items()]
    lines += ["    </properties>", *(line for item in items for line in _case(item))]
    return "\n".join(
        [*lines, f"    <system-out>{text(verdict(result))}</system-out>", "    <system-err/>", "  </testsuite>"]
    )


def _case(item: Tested) -> Iterator[str]:
    named = _attributes({"name": item.name, "classname": f"{item.suite}.{item.group}", "time": 0})
    if not item.failed:
        yield f"    <testcase{named}/>"
        return
    place = f"{item.path}:{item.line}"
    body = "\n".join(part for part in (place, item.message, item.detail) if part)
    yield f"    <testcase{named}>"
    yield f"      <failure{_attributes({'message': item.message, 'type': item.kind})}>{text(body)}</failure>"
    yield "    </testcase>"


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f" {name}={_quoted(str(value))}" for name, value in values.items())


def _quoted(value: str) -> str:
    return quoteattr(_allowed(value), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def text(value: str) -> str:
    """Text between tags.

    >>> text("a < b\\x00")
    'a &lt; b\\ufffd'
    """
    return escape(_allowed(value))


def _allowed(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", value)
