"""Addresses in S3."""

import re
from typing import NamedTuple

from components.storage.s3_client import SCHEMES
from components.storage.s3_errors import StoreError

# AWS's rules for names. MinIO's and SeaweedFS's are no wider.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# As Arrow and Go write them into addresses; a ? alone is a letter of a glob.
_OPTION = re.compile(r"[?&](region|scheme|profile|endpoint\w*|\w*key\w*|\w*pathstyle|\w*ssl)=", re.IGNORECASE)


class Place(NamedTuple):
    """A bucket and a key in it; the key of a bucket itself is empty."""

    scheme: str
    bucket: str
    key: str


def is_s3(path: object) -> bool:
    """Whether this file system has it."""
    return str(path).startswith(SCHEMES)


def parse(path: str) -> Place:
    """An address in parts.

    Raises:
      StoreError: it names no bucket that can be, or holds keys or options.
    """
    scheme, _, rest = path.partition("://")
    bucket, _, key = rest.partition("/")
    if "@" in bucket or _OPTION.search(rest):
        clean = f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
        raise StoreError(
            clean,
            "keys and options have no place in an address; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_REGION and AWS_ENDPOINT_URL",
        )
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(
            path,
            f"takes {scheme}://BUCKET/KEY, a bucket of 3 to 63 lower-case letters, digits, - and .; received the "
            f"bucket {bucket!r}",
        )
    return Place(scheme, bucket, key)
