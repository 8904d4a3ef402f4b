"""Executes a compiled pipeline on this machine: the very YAML that would be submitted, each container's real command.

Buckets are folders. What a platform does around a container is done as it does it: the order, conditions, importers and
exit handlers, the ExecutorInput, the launcher's copies, retries, the ExecutorOutput. It cannot show scheduling,
permissions, the image's content, network or quotas.
"""

import contextlib
import dataclasses
import graphlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Literal

from components import files
from models import progress
from pipeline.cluster import workers
from pipeline.cluster.compile import Compiled, Spec
from pipeline.result import RunError
from schemas import DataError

Platform = Literal["kubeflow", "vertex"]
State = Literal["ran", "cached", "skipped", "failed"]
# What the image has as its working directory: the folder with our packages.
_IMAGE = Path(__file__).parents[2]
_ADDRESS = re.compile(rf"\b({'|'.join(files.MOUNTS)})")
_DONE = ("ran", "cached")
_DATA = 3  # the exit code of a container whose data is at fault


class TaskError(RunError):
    """A task failed in all its attempts; the sentence is its container's."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster that is this machine.

    Attributes:
      folder: ``bucket/`` holds every bucket; ``logs/`` a file a task; ``pods/`` what a container sees while it runs;
        ``cache/`` what tasks gave.
      platform: whose ExecutorInput, and whose copies.
      root: where the run's artifacts go, an address.
      parallel: containers at a time.
    """

    folder: Path
    platform: Platform
    root: str
    parallel: int = 2

    def path(self, text: str) -> str:
        """``text`` with every bucket's address as its folder."""
        return _ADDRESS.sub(lambda found: f"{self.folder}/bucket/{files.MOUNTS[found[1]]}", text)

    def put(self, imports: Mapping[str, Path]) -> None:
        """Files of this machine, where the nodes look for them."""
        for address, source in imports.items():
            target = Path(self.path(address))
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


@dataclasses.dataclass
class Outputs:
    """What a task gave: artifacts as RuntimeArtifact JSON, and parameters."""

    artifacts: dict[str, Spec] = dataclasses.field(default_factory=dict)
    parameters: Spec = dataclasses.field(default_factory=dict)


def execute(compiled: Compiled, cluster: Cluster) -> dict[str, Outputs]:
    """Runs every task; emits their events.

    Returns:
      What each task gave, by its name; tasks that were skipped are not in it.

    Raises:
      TaskError: a task failed.
      DataError: … because the data is at fault.
    """
    cluster.put(compiled.imports)
    run = _Run(compiled.pipeline, cluster)
    run.dag(compiled.pipeline["root"], Outputs(), "")
    if run.failures:
        raise run.failures[0]
    return run.outputs


class _Run:
    def __init__(self, spec: Spec, cluster: Cluster) -> None:
        self.cluster, self.components = cluster, spec.get("components", {})
        self.executors = spec["deploymentSpec"]["executors"]
        self.outputs: dict[str, Outputs] = {}
        self.failures: list[TaskError | DataError] = []
        self._children: set[subprocess.Popen[str]] = set()
        self._stopping = threading.Event()

    def dag(self, component: Spec, given: Outputs, prefix: str) -> State:
        """Runs the tasks of one DAG, as soon as those that they wait for are through."""
        tasks: dict[str, Spec] = component["dag"]["tasks"]
        order = graphlib.TopologicalSorter({name: _upstream(task) for name, task in tasks.items()})
        order.prepare()
        states: dict[str, State] = {}
        futures: dict[Future[State], str] = {}
        with ThreadPoolExecutor(self.cluster.parallel) as pool, self._stopped_at_interrupt():
            while order.is_active():
                for name in order.get_ready():
                    futures[pool.submit(self._task, name, tasks[name], states, given, prefix)] = name
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    name = futures.pop(future)
                    states[name] = future.result()
                    order.done(name)
        return "failed" if "failed" in states.values() else "ran"

    @contextlib.contextmanager
    def _stopped_at_interrupt(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stopping.set()
            for child in list(self._children):
                child.terminate()
            raise

    def _task(self, name: str, task: Spec, states: Mapping[str, State], given: Outputs, prefix: str) -> State:
        began = time.monotonic()
        progress.emit(progress.NodeStarted(name))
        state: State = "failed"
        try:
            state = self._decided(name, task, states, given, prefix)
        except (TaskError, DataError) as error:
            self.failures.append(error)
        finally:
            progress.emit(progress.NodeFinished(name, state, time.monotonic() - began))
        return state

    def _decided(self, name: str, task: Spec, states: Mapping[str, State], given: Outputs, prefix: str) -> State:
        trigger = task.get("triggerPolicy", {})
        whatever = trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
        if self._stopping.is_set() or (not whatever and any(states[each] not in _DONE for each in _upstream(task))):
            return "skipped"
        inputs = self._inputs(task, given, states)
        if (condition := trigger.get("condition")) and not _holds(condition, inputs):
            return "skipped"
        component = self.components[task["componentRef"]["name"]]
        if "dag" in component:
            return self.dag(component, inputs, f"{prefix}{name}/")
        executor = self.executors[component["executorLabel"]]
        if "importer" in executor:
            self.outputs[name] = self._imported(executor["importer"], component, inputs)
            return "ran"
        # As both platforms: what goes in, what is run, what comes out.
        key = hashlib.sha256(json.dumps([dataclasses.asdict(inputs), component, executor], sort_keys=True).encode())
        kept = self.cluster.folder / "cache" / f"{key.hexdigest()}.json"
        caching = task.get("cachingOptions", {}).get("enableCache", False)
        if caching and kept.is_file():
            self.outputs[name] = Outputs(**json.loads(kept.read_text("utf-8")))
            return "cached"
        self.outputs[name] = self._contained(f"{prefix}{name}", executor["container"], component, task, inputs)
        if caching:
            kept.parent.mkdir(exist_ok=True)
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(dataclasses.asdict(self.outputs[name])), "utf-8")
            part.rename(kept)
        return "ran"

    def _inputs(self, task: Spec, given: Outputs, states: Mapping[str, State]) -> Outputs:
        """Artifacts and parameters from other tasks, from the DAG around this one, or as they were compiled."""
        inputs = Outputs()
        for key, source in task.get("inputs", {}).get("artifacts", {}).items():
            if "componentInputArtifact" in source:
                inputs.artifacts[key] = given.artifacts[source["componentInputArtifact"]]
            else:
                producer = source["taskOutputArtifact"]
                inputs.artifacts[key] = self.outputs[producer["producerTask"]].artifacts[producer["outputArtifactKey"]]
        for key, source in task.get("inputs", {}).get("parameters", {}).items():
            if "runtimeValue" in source:
                value = source["runtimeValue"].get("constant")
            elif "componentInputParameter" in source:
                value = given.parameters[source["componentInputParameter"]]
            elif "taskFinalStatus" in source:
                producer = source["taskFinalStatus"]["producerTask"]
                value = json.dumps({"state": "FAILED" if states[producer] == "failed" else "SUCCEEDED"})
            else:
                producer = source["taskOutputParameter"]
                value = self.outputs[producer["producerTask"]].parameters[producer["outputParameterKey"]]
            inputs.parameters[key] = self.cluster.path(value) if isinstance(value, str) else value
        return inputs

    def _imported(self, importer: Spec, component: Spec, inputs: Outputs) -> Outputs:
        """An importer runs no container: the address becomes an artifact."""
        uri = importer["artifactUri"]
        address = uri["constant"] if "constant" in uri else inputs.parameters[uri["runtimeParameter"]]
        if not Path(self.cluster.path(address)).exists():
            raise TaskError(f"{address} is imported and is not there")
        (key,) = component["outputDefinitions"]["artifacts"]
        artifact = {"uri": address, "type": importer["typeSchema"], "metadata": importer.get("metadata", {})}
        return Outputs({key: artifact})

    def _contained(self, name: str, spec: Spec, component: Spec, task: Spec, inputs: Outputs) -> Outputs:
        """Runs the container, again where it fails and the task allows it."""
        pod = self.cluster.folder / "pods" / name
        attempts = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
        for attempt in range(attempts):
            shutil.rmtree(pod, ignore_errors=True)
            pod.mkdir(parents=True)
            told = self._executor_input(name, component, inputs, pod)
            if self.cluster.platform == "kubeflow":
                self._download(told, pod)
            code, sentence = self._process(name, spec, told, pod)
            if code == 0:
                outputs = self._read(told)
                if self.cluster.platform == "kubeflow":
                    self._upload(outputs, pod)
                shutil.rmtree(pod)
                return outputs
            if self._stopping.is_set():
                raise TaskError(f"{name} was stopped")
            if code == _DATA:  # the same files would be at fault again
                raise DataError(sentence)
            if attempt + 1 < attempts:
                progress.emit(progress.Notice(f"{name}: {sentence} Attempt {attempt + 2} of {attempts}"))
        log = self.cluster.folder / "logs" / f"{name}.log"
        raise TaskError(f"{name} failed in {attempts} attempt{'s' * (attempts > 1)}: {sentence} Its log: {log}")

    def _executor_input(self, name: str, component: Spec, inputs: Outputs, pod: Path) -> Spec:
        """As the platform's driver builds it."""
        vertex = self.cluster.platform == "vertex"
        folder = f"{self.cluster.root}/{name}"
        declared: Spec = component.get("outputDefinitions", {}).get("artifacts", {})
        outputs = {
            key: {"uri": f"{folder}/{key}", "type": each["artifactType"], "metadata": each.get("metadata", {})}
            for key, each in declared.items()
        }
        if not vertex:
            outputs["executor-logs"] = {
                "uri": f"{folder}/executor-logs",
                "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"},
            }
        # Kubeflow's driver reads inputs back from MLMD, which keeps no schema of ours.
        given = {
            key: self._named(each) if vertex else {name: value for name, value in each.items() if name != "type"}
            for key, each in inputs.artifacts.items()
        }
        file = f"{folder}/executor_output.json" if vertex else str(pod / "kfp_outputs" / "output_metadata.json")
        return {
            "inputs": {
                "parameterValues": inputs.parameters,
                "artifacts": {key: {"artifacts": [each]} for key, each in given.items()},
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": f"/tmp/kfp/outputs/{key}"}
                    for key in component.get("outputDefinitions", {}).get("parameters", {})
                },
                "artifacts": {
                    key: {"artifacts": [self._named(each) if vertex else each]} for key, each in outputs.items()
                },
                "outputFile": file,
            },
        }

    def _named(self, artifact: Spec) -> Spec:
        """Vertex gives every artifact a resource name, open-source Kubeflow none."""
        number = zlib.crc32(artifact["uri"].encode())
        return {**artifact, "name": f"projects/0/locations/here/metadataStores/default/artifacts/{number}"}

    def _pod_path(self, address: str, pod: Path) -> Path:
        return pod / _ADDRESS.sub(lambda found: files.MOUNTS[found[1]], address)

    def _download(self, told: Spec, pod: Path) -> None:
        """Kubeflow's launcher copies the inputs into the container, and makes place for the outputs."""
        for found in told["inputs"]["artifacts"].values():
            for artifact in found["artifacts"]:
                source, target = Path(self.cluster.path(artifact["uri"])), self._pod_path(artifact["uri"], pod)
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.exists() and not target.exists():
                    _copy(source, target)
        for found in told["outputs"]["artifacts"].values():
            for artifact in found["artifacts"]:
                self._pod_path(artifact["uri"], pod).parent.mkdir(parents=True, exist_ok=True)

    def _upload(self, outputs: Outputs, pod: Path) -> None:
        """… and copies what it wrote to the bucket; what is declared and was not written, it leaves out."""
        for key, artifact in outputs.artifacts.items():
            if not _ADDRESS.match(artifact["uri"]):
                raise TaskError(f"output {key} has the address {artifact['uri']}, which is no bucket's")
            written, target = self._pod_path(artifact["uri"], pod), Path(self.cluster.path(artifact["uri"]))
            target.parent.mkdir(parents=True, exist_ok=True)
            if written.exists():
                _copy(written, target)

    def _process(self, name: str, spec: Spec, told: Spec, pod: Path) -> tuple[int, str]:
        """The exit code, and what the container said last."""
        command = [self._filled(word, told) for word in (*spec.get("command", ()), *spec.get("args", ()))]
        mounts = self.cluster.folder / "bucket" if self.cluster.platform == "vertex" else pod
        (pod / "tmp").mkdir()
        variables = {
            **os.environ,
            **{each["name"]: self.cluster.path(each["value"]) for each in spec.get("env", ())},
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(pod / "tmp"),
            files.ROOT: f"{mounts}/",
        }
        several = variables.pop(workers.VARIABLE, None)
        log = self.cluster.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        sentence = "it said nothing."
        with log.open("a", encoding="utf-8") as kept:
            chief, *others = [
                subprocess.Popen(
                    command, cwd=_IMAGE, env={**variables, **more}, text=True, errors="replace",
                    stdout=kept if number else subprocess.PIPE, stderr=subprocess.STDOUT,
                )
                for number, more in enumerate(_machines(workers.count(several)) if several else [{}])
            ]  # fmt: skip
            self._children.update((chief, *others))
            assert chief.stdout is not None
            for line in chief.stdout:
                kept.write(line)
                event = progress.read(line)
                if isinstance(event, progress.Notice):
                    sentence = event.text
                if event:
                    progress.emit(event)
            codes = [child.wait() for child in (chief, *others)]
        self._children.difference_update((chief, *others))
        code = next((each for each in codes if each), 0)
        return code, f"killed by signal {-code}." if code < 0 else sentence

    def _filled(self, word: str, told: Spec) -> str:
        """A word of the command with its placeholders filled; what is no artifact's address names a folder."""
        if word == "{{$}}":
            return json.dumps(told)
        places: dict[str, Callable[[str], Any]] = {
            r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}": lambda key: told["inputs"]["parameterValues"][key],
            r"\{\{\$\.inputs\.artifacts\['([^']+)'\]\.uri\}\}": lambda key: _first(told["inputs"], key)["uri"],
            r"\{\{\$\.outputs\.artifacts\['([^']+)'\]\.uri\}\}": lambda key: _first(told["outputs"], key)["uri"],
        }
        for pattern, value in places.items():
            word = re.sub(pattern, lambda found, value=value: str(value(found[1])), word)  # type: ignore[misc]
        return self.cluster.path(word)

    def _read(self, told: Spec) -> Outputs:
        """The container's ExecutorOutput over what it was promised, as the platforms merge them."""
        file = Path(self.cluster.path(told["outputs"]["outputFile"]))
        written = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        outputs = Outputs(parameters=written.get("parameterValues", {}))
        for key, found in told["outputs"]["artifacts"].items():
            if key == "executor-logs":
                continue
            artifact = {name: value for name, value in found["artifacts"][0].items() if name != "name"}
            for told_of in written.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1]:
                artifact["uri"] = told_of.get("uri") or artifact["uri"]
                artifact["metadata"] = {**artifact.get("metadata", {}), **told_of.get("metadata", {})}
            outputs.artifacts[key] = artifact
        return outputs


def _machines(count: int) -> list[dict[str, str]]:
    """What Vertex adds to the environments of a job's machines, the chief's first; all of them are this machine."""
    with contextlib.ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("localhost", 0))) for _ in range(count)]
        chief, *others = [f"localhost:{each.getsockname()[1]}" for each in taken]
    tasks = [{"type": "chief", "index": 0}, *({"type": "worker", "index": number} for number in range(len(others)))]
    cluster = {"chief": [chief], "worker": others}
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def _copy(source: Path, target: Path) -> None:
    """A folder, or the file that an artifact is."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _upstream(task: Spec) -> set[str]:
    """The tasks that a task waits for."""
    inputs = task.get("inputs", {})
    sources = (*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values())
    inner = [value for source in sources for value in source.values() if isinstance(value, dict)]
    named = {value["producerTask"] for value in inner if "producerTask" in value}
    return {*task.get("dependentTasks", ()), *named}


def _first(side: Spec, key: str) -> Spec:
    found: Spec = side["artifacts"][key]["artifacts"][0]
    return found


def _holds(condition: str, inputs: Outputs) -> bool:
    """A condition in CEL, over the task's inputs."""
    import celpy

    environment = celpy.Environment()
    program = environment.program(environment.compile(condition))
    artifacts = {key: {"artifacts": [each]} for key, each in inputs.artifacts.items()}
    values = {"artifacts": artifacts, "parameter_values": inputs.parameters, "parameters": inputs.parameters}
    return bool(program.evaluate({"inputs": celpy.json_to_cel(values)}))
