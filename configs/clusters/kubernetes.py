"""Kubernetes' own rules for what an environment writes into its objects, and the names that others have taken there.

A rule says which function of the server applies it: in ``k8s.io/apimachinery`` those of ``pkg/util/validation``,
``pkg/api/validate/content`` and ``pkg/api/resource``, in ``kubernetes/kubernetes`` those of
``pkg/apis/core/validation/validation.go`` (read at 1.37). Taken is what Argo Workflows 3.5 to 4.1
(``workflow/common/common.go``, ``workflow/controller/workflowpod.go``) and Kubeflow 2.3 to 2.17 (``backend/src/v2``)
put into the same pod.
"""

import decimal
import posixpath
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"  # dns1123LabelFmt
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"  # dns1123SubdomainFmt
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"  # labelKeyFmt
_SECRET_KEY = r"[-._a-zA-Z0-9]+"  # configMapKeyFmt
# suffixHandler; the thousand is written with a small letter, and only so.
_UNITS = {
    **{unit: 10 ** (3 * power) for power, unit in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{f"{unit}i": 2 ** (10 * power) for power, unit in enumerate("KMGTPE", 1)},
    **{unit: decimal.Decimal(10) ** (-3 * power) for power, unit in enumerate("mun", 1)},
}
# The grammar of Quantity, but for a minus: what an environment asks for is more than nothing.
_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(?:([eE][-+]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")

_TAKEN_VOLUMES = re.compile(
    "kfp-launcher|kfp-workspace|(gcs|s3|minio|dot-local|dot-cache|dot-config)-scratch|ca-bundle|custom-ca|oci-[0-9]+|"
    "var-run-argo|tmp-dir-argo|argo-staging|argo-env-config|argoexec-bin|input-artifacts|kubeconfig|exec-sa-token|"
    "argo-workflows-agent-ca-certificates|"
    "shm"  # compile's own, for shared_memory
)
_TAKEN_VARIABLES = {
    "Argo Workflows": "ARGO_.*",
    "Kubeflow": "KFP_.*|(METADATA_GRPC|ML_PIPELINE|MINIO)_SERVICE_.*",
    "Kubernetes": "KUBERNETES_.*",
    "our containers": "TFX_BERT_.*|TF_CONFIG|PATH|PYTHONPATH|PYTHONHOME|LD_LIBRARY_PATH|LD_PRELOAD",
}
_TAKEN_LABELS = {
    "Argo Workflows": r"([^/]+\.)?argoproj\.io/.*",
    "Kubeflow": r"(pipelines|scheduledworkflows)\.kubeflow\.org/.*|pipeline/.*",
}
# Their values are read by the server: ValidatePodSpecificAnnotations.
_TAKEN_ANNOTATIONS = _TAKEN_LABELS | {
    "Kubernetes": r"kubernetes\.io/config\..*|scheduler\.alpha\.kubernetes\.io/.*|"
    r"(container\.)?(seccomp\.security\.alpha|apparmor\.security\.beta)\.kubernetes\.io/.*|"
    r"controller\.kubernetes\.io/pod-deletion-cost"
}
# Nothing of ours is mounted there, nor above, nor below.
_TAKEN_FOLDERS = {
    "Kubeflow": (
        *("/gcs", "/s3", "/minio", "/oci", "/.local", "/.cache", "/.config"),
        *("/kfp", "/kfp-launcher", "/kfp-workspace", "/tmp/kfp", "/tmp/kfp_outputs"),
    ),
    "Argo Workflows": ("/argo", "/argo-bin", "/mainctrfs", "/var/run/argo", "/run/argo"),
    "Kubernetes": ("/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io", "/dev", "/proc", "/sys"),
}
# Nor there, nor above: a mount would hide what the image has there.
_NEEDED_FOLDERS = (
    *("/app", "/opt/venv", "/etc/ssl/certs", "/usr/local/bin", "/usr/local/lib", "/usr/bin", "/usr/lib"),
    *("/bin", "/sbin", "/lib", "/lib64"),
)


def _named(pattern: str, longest: int, takes: str) -> Callable[[str], str]:
    """A validator of text of one form. Everything that matches is ASCII, so that characters are bytes."""

    def valid(value: str) -> str:
        if len(value) > longest or not re.fullmatch(pattern, value):
            raise ValueError(f"takes {takes}, at most {longest}; received {value!r}")
        return value

    return valid


def _taken(places: dict[str, str], what: str, cure: str) -> Callable[[str], str]:
    """A validator that refuses what others have taken."""

    def free(value: str) -> str:
        for owner, pattern in places.items():
            if re.fullmatch(pattern, value):
                raise ValueError(f"{value!r} is {what} of {owner}; {cure}")
        return value

    return free


def label_key(key: str) -> str:
    """The key of a label, a taint or a rule of affinity: IsLabelKey, which IsQualifiedName is.

    Raises:
      ValueError: Kubernetes refuses it.
    """
    prefix, slash, name = key.rpartition("/")
    sound = len(name) <= 63 and re.fullmatch(_NAME, name)
    if not sound or (slash and (len(prefix) > 253 or not re.fullmatch(_SUBDOMAIN, prefix))):
        raise ValueError(
            f"takes a label's key such as team or example.org/team, its name letters, digits, -, _ and ., at most 63; "
            f"received {key!r}"
        )
    return key


def _taint_key(key: str) -> str:
    return key and label_key(key)  # with Exists, the empty key is every taint's


def label_value(value: str) -> str:
    """The value of a label or a taint: IsLabelValue.

    Raises:
      ValueError: Kubernetes refuses it.
    """
    if len(value) > 63 or not re.fullmatch(f"({_NAME})?", value):
        raise ValueError(
            f"takes letters, digits, -, _ and ., at most 63, a letter or digit first and last; received {value!r}"
        )
    return value


def _annotation_key(key: str) -> str:
    label_key(key.lower())  # ValidateAnnotations
    return key


def _secret_key(key: str) -> str:
    if len(key) > 253 or not re.fullmatch(_SECRET_KEY, key) or key == "." or key.startswith(".."):  # IsConfigMapKey
        raise ValueError(
            f"takes a key of a secret: letters, digits, -, _ and ., at most 253, not .. first; received {key!r}"
        )
    return key


def volume_name(name: str) -> str:
    """What Kubeflow's driver names a volume: as the claim or the secret in it. ValidateVolumes.

    Raises:
      ValueError: Kubernetes refuses it, or another volume of the pod is called so.
    """
    _dns_label(name)
    if _TAKEN_VOLUMES.fullmatch(name):
        raise ValueError(f"{name!r} is the name of a volume that every pod has already; give it another name")
    return name


def free_variable(name: str) -> str:
    """The name of an environment variable that nobody else sets in the pod.

    Raises:
      ValueError: somebody does.
    """
    if name.upper() == "NO_PROXY":
        raise ValueError(f"{name!r} is written where a proxy is set; name further hosts under no_proxy:")
    return _free_variable(name)


def mount(path: str) -> str:
    """A folder to mount something at; Kubernetes checks next to nothing, and with a wrong one a container never starts.

    Raises:
      ValueError: the container, Kubeflow or Argo Workflows would lose something.
    """
    folder = posixpath.normpath(path)
    if not re.fullmatch(r"/[^/:\x00-\x1f\x7f][^:\x00-\x1f\x7f]*", path) or ".." in path.split("/") or "{{" in path:
        raise ValueError(f"takes a folder of its own such as /data, without : and .. in it; received {path!r}")
    for owner, places in _TAKEN_FOLDERS.items():
        for place in places:
            if _inside(folder, place) or _inside(place, folder):
                how = "is in" if _inside(folder, place) else "would hide"
                raise ValueError(f"{path!r} {how} a folder of {owner}, {place}; choose another, such as /data")
    for place in _NEEDED_FOLDERS:
        if _inside(place, folder):
            raise ValueError(f"{path!r} would hide a folder of the image, {place}; choose another, such as /data")
    return folder


def _inside(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def resource(name: str) -> str:
    """The resource of a device: validateContainerResourceName, IsExtendedResourceName.

    Raises:
      ValueError: Kubernetes refuses it.
    """
    prefix, slash, _ = name.partition("/")
    try:
        label_key(f"requests.{name}")
    except ValueError:
        slash = ""
    if not slash or "kubernetes.io/" in name or prefix.startswith("requests."):
        raise ValueError(f"takes the resource of a device plugin, such as nvidia.com/gpu; received {name!r}")
    return name


def quantity(value: str) -> int:
    """Bytes of a Kubernetes quantity such as ``32Gi``, rounded up.

    Raises:
      ValueError: ParseQuantity refuses it, or it is not more than nothing and less than 2⁶³, where Kubernetes caps it.
    """
    found = _QUANTITY.fullmatch(value)
    if not found:
        raise ValueError(f"takes a Kubernetes quantity such as 32Gi, received {value!r}")
    number, exponent, unit = found.groups()
    amount = decimal.Decimal(f"{number}{exponent or ''}") * _UNITS[unit or ""]
    if not 0 < amount < 2**63:
        raise ValueError(f"takes a Kubernetes quantity such as 32Gi, more than 0 and less than 8Ei; received {value!r}")
    return int(amount.to_integral_value(decimal.ROUND_CEILING))


def _quantity(value: str) -> str:
    quantity(value)
    return value


def _sized(annotations: dict[str, str]) -> dict[str, str]:
    # ValidateAnnotationsSize: 256 KiB, of which Argo Workflows and Kubeflow need some.
    size = sum(len(key) + len(value.encode()) for key, value in annotations.items())
    if size > 240 * 1024:
        raise ValueError(f"takes at most 245,760 bytes of annotations, received {size:,}")
    return annotations


_dns_label = _named(_LABEL, 63, "lower-case letters, digits and -, a letter or digit first and last")
object_name = _named(_SUBDOMAIN, 253, "lower-case letters, digits, - and ., a letter or digit first and last")
_free_variable = _taken(_TAKEN_VARIABLES, "a variable", "give it another name")
_free_label = _taken(_TAKEN_LABELS, "a label", "leave it out, or give it a prefix of your own")
_free_annotation = _taken(_TAKEN_ANNOTATIONS, "an annotation", "leave it out, or give it a prefix of your own")

Namespace = Annotated[str, AfterValidator(_dns_label)]  # ValidateNamespaceName
ObjectName = Annotated[str, AfterValidator(object_name)]  # NameIsDNSSubdomain: secrets, service accounts
VolumeName = Annotated[str, AfterValidator(volume_name)]
Mount = Annotated[str, AfterValidator(mount)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
Quantity = Annotated[str, AfterValidator(_quantity)]
Resource = Annotated[str, AfterValidator(resource)]
LabelKey = Annotated[str, AfterValidator(label_key)]
TaintKey = Annotated[str, AfterValidator(_taint_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
Labels = dict[LabelKey, LabelValue]
PodLabels = dict[Annotated[LabelKey, AfterValidator(_free_label)], LabelValue]
AnnotationKey = Annotated[str, AfterValidator(_annotation_key), AfterValidator(_free_annotation)]
Annotations = Annotated[dict[AnnotationKey, str], AfterValidator(_sized)]
INT32 = 2**31 - 1
Seconds = Annotated[int, Field(ge=0, le=INT32)]
