"""Cron expressions: what either platform reads, and what neither does."""

import pytest

from configs.clusters.schedule import fault


@pytest.mark.parametrize(
    "expression",
    ["0 3 * * *", "*/15 9-17 * * mon-fri", "0 0 1,15 JAN ?", "5/10 0 31 12 6", "0 0 9 ? * 2-6", "30 0 3 * * SUN"],
)
def test_kubeflow_takes_five_fields_or_six(expression):
    assert fault(expression, seconds=True, zone=False) is None


@pytest.mark.parametrize("expression", ["0 3 * * *", "TZ=Asia/Seoul 0 3 * * *", "CRON_TZ=UTC 0 3 * * *"])
def test_vertex_takes_a_time_zone(expression):
    assert fault(expression, seconds=False, zone=True) is None


@pytest.mark.parametrize("field", ["60", "-1", "5-", "9-5", "1,", "", "*/0", "5/", "a", "1-2-3", "MON", "1.5", "*5"])
def test_what_is_no_minute(field):
    assert fault(f"{field} 3 * * *", seconds=False, zone=False)


def test_what_one_reads_the_other_does_not():
    assert fault("TZ=Asia/Seoul 0 3 * * *", seconds=True, zone=False)
    assert fault("0 0 3 * * *", seconds=False, zone=True)
