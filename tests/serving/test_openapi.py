"""Requests made from the server's own description: whatever comes, the answer is one that it describes."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from serving import openapi

schema = schemathesis.openapi.from_dict(openapi.describe())


@pytest.fixture(scope="module")
def base_url(start, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    with start(folder, "--config", models.write(folder)) as client:
        client.ready()
        yield f"http://{client.address}"


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case, base_url):
    # Two checks ask for other codes than TensorFlow Serving's: 405 for another method, and no 400 for a label that
    # nobody configured (test_rest_api.py has both as they are).
    case.call_and_validate(base_url=base_url, excluded_checks=[unsupported_method, positive_data_acceptance])
