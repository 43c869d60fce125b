"""With CROFT_REQUIRE_ALL=1 a skip is a failure, unless only the shared material is absent."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.helpers import SHARED_ABSENT


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure when every test is required to run."""
    if os.environ.get("CROFT_REQUIRE_ALL") != "1" or report.outcome != "skipped":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if hasattr(report, "wasxfail") or SHARED_ABSENT in reason:
        return
    report.outcome = "failed"
    report.longrepr = f"CROFT_REQUIRE_ALL=1 allows no skip, but: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a skip inside a test or its fixtures."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a skip of a whole module, such as ``pytest.importorskip`` at its top."""
    report = yield
    _refuse_skip(report)
    return report
