"""AWS's own client for S3, and where it looks.

Endpoint, region, proxy, certificates and credentials come from where every program of AWS's takes them: ``AWS_*``,
profiles, a role by web identity (EKS), a machine's own role.
"""

import functools
import os
from typing import Any

SCHEMES = ("s3://", "minio://")
# Seconds to connect, seconds without a byte, and attempts: a connection that is broken for good is told in minutes.
CONNECT, READ, ATTEMPTS = 10, 30, 5
_KUBEFLOW = "http://minio-service.kubeflow:9000"


def endpoint(scheme: str) -> str | None:
    """Where the store is; None where AWS's client knows."""
    if given := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return given
    if scheme == "s3":
        return None
    # As Kubeflow's launcher looks for it (kubeflow/pipelines, backend/src/v2/objectstore/config.go).
    host, port = (os.environ.get(f"MINIO_SERVICE_SERVICE_{name}") for name in ("HOST", "PORT"))
    return f"http://{host}:{port}" if host and port else _KUBEFLOW


def client(scheme: str) -> Any:
    """A thread-safe client. The environment's variables decide, so another environment is another client."""
    known = frozenset((name, value) for name, value in os.environ.items() if name.startswith(("AWS_", "MINIO_")))
    return _made(scheme, known)


@functools.lru_cache(maxsize=4)
def _made(scheme: str, _variables: frozenset[tuple[str, str]]) -> Any:
    import boto3
    from botocore.config import Config

    session, url = boto3.session.Session(), endpoint(scheme)
    given: dict[str, Any] = {}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        given["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    if url and "AWS_REQUEST_CHECKSUM_CALCULATION" not in os.environ:
        given["request_checksum_calculation"] = "when_required"  # older stores do not know AWS's trailing checksums
    config = Config(connect_timeout=CONNECT, read_timeout=READ, tcp_keepalive=True, **given)
    # boto3 does not read AWS_REGION, which all other programs do.
    region = os.environ.get("AWS_REGION") or session.region_name or ("us-east-1" if url else None)
    return session.client("s3", endpoint_url=url, region_name=region, config=config)
