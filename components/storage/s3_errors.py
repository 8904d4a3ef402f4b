"""S3 errors as sentences with cause and cure."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.storage.s3_client import endpoint

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

MISSING = "there is no such object"
CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN where they are temporary) or AWS_PROFILE; "
    "on a cluster take them from a secret, or give the service account a role (AWS_ROLE_ARN and "
    "AWS_WEB_IDENTITY_TOKEN_FILE)"
)


class StoreError(OSError):
    """An address cannot be read or written.

    Attributes:
      filename: the address.
      strerror: why, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(None, reason, path)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class Missing(StoreError, FileNotFoundError):
    """There is no such object."""


class Closed(StoreError):
    """Access is denied or impossible from this machine. Another machine may have the credentials or the network."""


class Cut(StoreError):
    """A connection ended before the object did."""


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns what AWS's client raises into a ``StoreError`` about ``path``."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refused(path, error) from error
    except BotoCoreError as error:
        raise _unasked(path, error) from error
    except Boto3Error as error:  # of its transfers: the cause is one of the two
        cause = error.__context__
        if isinstance(cause, ClientError):
            raise _refused(path, cause) from error
        raise StoreError(path, str(error)) from error


def status(error: "ClientError") -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _bucket(path: str) -> str:
    return path.partition("://")[2].partition("/")[0]


def _at(path: str) -> str:
    found = endpoint(path.partition("://")[0])
    return f" at {found}" if found else ""


def _refused(path: str, error: "ClientError") -> StoreError:
    """Explains an error that the store returned."""
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", "")).rstrip(".")
    action = f"s3:{error.operation_name}".replace("HeadObject", "GetObject").replace("ListObjectsV2", "ListBucket")
    region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if "WebIdentity" in error.operation_name or error.operation_name == "AssumeRole":
        role = os.environ.get("AWS_ROLE_ARN", "the profile's role")
        return Closed(
            path, f"{role} cannot be taken ({code}: {message}); check its trust policy and the service account"
        )
    match code:
        case "NoSuchBucket":
            return StoreError(path, f"there is no bucket {_bucket(path)}{_at(path)}; create it, or mend the address")
        case "NoSuchKey" | "404":
            return Missing(path, MISSING)
        case "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired":
            cure = "log in again, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew"
            return Closed(path, f"the credentials have expired; {cure}")
        case "InvalidAccessKeyId" | "InvalidToken" | "InvalidClientTokenId" | "InvalidSecurity":
            return Closed(path, f"the store does not know these credentials ({code}){_at(path)}; {CREDENTIALS}")
        case "SignatureDoesNotMatch":
            return Closed(path, "the signature does not match; check AWS_SECRET_ACCESS_KEY and AWS_REGION")
        case "RequestTimeTooSkewed":
            return Closed(path, "the clock of this machine is wrong by more than 15 minutes; set it")
        case "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "301":
            there = region or told.get("Region")
            where = (
                f"in the region {there}; set AWS_REGION={there}" if there else "in another region; set AWS_REGION to it"
            )
            return Closed(path, f"the bucket {_bucket(path)} is {where}")
        case "PreconditionFailed" | "412":
            return StoreError(path, "it was replaced while it was read; begin again")
        case "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout":
            return StoreError(path, f"the store is overloaded ({code}), in every attempt; try again later")
    if code == "AccessDenied" or status(error) == 403:
        return Closed(path, f"no permission ({code or 403}); the credentials need {action} there")
    return StoreError(path, f"the store refused {error.operation_name} ({code}{': ' * bool(message)}{message})")


def _unasked(path: str, error: "BotoCoreError") -> StoreError:
    """Explains a request that got no answer."""
    from botocore import exceptions

    first = str(error).splitlines()[0].rstrip(".")
    match error:
        case exceptions.NoCredentialsError():
            return Closed(path, f"no credentials; {CREDENTIALS}")
        case exceptions.PartialCredentialsError():
            return Closed(path, f"half of the credentials is missing ({error.kwargs['cred_var']}); {CREDENTIALS}")
        case exceptions.ProfileNotFound():
            return Closed(path, f"there is no profile {error.kwargs['profile']!r} (AWS_PROFILE)")
        case exceptions.SSLError():
            return Closed(path, f"the store's certificate is not trusted ({first}); set AWS_CA_BUNDLE to its CA's file")
        case exceptions.ProxyConnectionError():
            cure = "check HTTPS_PROXY, or name the store in NO_PROXY"
            return Closed(path, f"the proxy does not answer ({first}); {cure}")
        case exceptions.HTTPClientError() | exceptions.ConnectionError() | exceptions.IncompleteReadError():
            cure = "check AWS_ENDPOINT_URL, AWS_REGION and the network"
            if path.startswith("minio://"):
                cure = "from outside of the cluster: kubectl port-forward -n kubeflow svc/minio-service 9000, and set "
                cure += "AWS_ENDPOINT_URL=http://localhost:9000"
            return Closed(path, f"the store does not answer, in every attempt ({first}); {cure}")
    return Closed(path, f"{first[:1].lower()}{first[1:]}; {CREDENTIALS}")
