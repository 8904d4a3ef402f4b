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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal

from components.storage import files
from models import progress
from pipeline import exits
from pipeline.cluster import handover, workers
from pipeline.cluster.compile import Compiled, Spec
from pipeline.cluster.handover import Outputs, Platform, Refused
from pipeline.run.result import RunError
from schemas import DataError

State = Literal["ran", "cached", "skipped", "failed"]
# The image's working directory: the folder with our packages.
_IMAGE = Path(__file__).parents[2]
_ADDRESS = re.compile(rf"\b({'|'.join(files.MOUNTS)})")
_DONE = ("ran", "cached")


class TaskError(RunError):
    """A task failed in all its attempts, or the platform refuses it; the sentence says why."""


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
        """Copies files of this machine to the addresses where the nodes read them."""
        for address, source in imports.items():
            target = Path(self.path(address))
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


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
        except Refused as error:
            self.failures.append(TaskError(f"{name}: {error}"))
        finally:
            progress.emit(progress.NodeFinished(name, state, time.monotonic() - began))
        return state

    def _decided(self, name: str, task: Spec, states: Mapping[str, State], given: Outputs, prefix: str) -> State:
        trigger = task.get("triggerPolicy", {})
        whatever = trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
        if self._stopping.is_set() or (not whatever and any(states[each] not in _DONE for each in _upstream(task))):
            return "skipped"
        component = self.components[task["componentRef"]["name"]]
        inputs = self._inputs(task, given, states)
        if self.cluster.platform == "kubeflow":
            inputs.parameters = handover.checked(component, inputs.parameters)
        if (condition := trigger.get("condition")) and not _holds(condition, inputs):
            return "skipped"
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
        return Outputs({key: artifact if self.cluster.platform == "vertex" else handover.kept(None, artifact)})

    def _contained(self, name: str, spec: Spec, component: Spec, task: Spec, inputs: Outputs) -> Outputs:
        """Runs the container, again where it fails and the task allows it."""
        pod = self.cluster.folder / "pods" / name
        log = self.cluster.folder / "logs" / f"{name}.log"
        attempts = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
        for attempt in range(attempts):
            begun = log.stat().st_size if log.exists() else 0
            shutil.rmtree(pod, ignore_errors=True)
            pod.mkdir(parents=True)
            folder = f"{self.cluster.root}/{name}"
            told = handover.executor_input(self.cluster.platform, folder, str(pod), component, inputs)
            if self.cluster.platform == "kubeflow":
                self._download(told, pod)
            code, sentence = self._process(log, spec, told, pod)
            if code == 0:
                outputs = handover.outputs_of(told, component, self._text)
                if self.cluster.platform == "kubeflow":
                    said = self._pod_path(_first(told["outputs"], handover.LOGS)["uri"], pod)
                    said.write_bytes(log.read_bytes()[begun:])
                    self._upload(outputs, pod)
                shutil.rmtree(pod)
                return outputs
            if self._stopping.is_set():
                raise TaskError(f"{name} was stopped")
            if code == exits.DATA:  # a second attempt would read the same bad data
                raise DataError(sentence)
            if attempt + 1 < attempts:
                progress.emit(progress.Notice(f"{name}: {sentence} Attempt {attempt + 2} of {attempts}"))
        raise TaskError(f"{name} failed in {attempts} attempt{'s' * (attempts > 1)}: {sentence} Its log: {log}")

    def _text(self, address: str) -> str | None:
        file = Path(self.cluster.path(address))
        return file.read_text("utf-8") if file.is_file() else None

    def _pod_path(self, address: str, pod: Path) -> Path:
        return pod / _ADDRESS.sub(lambda found: files.MOUNTS[found[1]], address)

    def _download(self, told: Spec, pod: Path) -> None:
        """As Kubeflow's launcher: copies the inputs into the container and creates the output folders."""
        for artifact in _each(told["inputs"]):
            handover.download(Path(self.cluster.path(artifact["uri"])), self._pod_path(artifact["uri"], pod))
        for artifact in _each(told["outputs"]):
            self._pod_path(artifact["uri"], pod).parent.mkdir(parents=True, exist_ok=True)

    def _upload(self, outputs: Outputs, pod: Path) -> None:
        """As Kubeflow's launcher: copies the outputs to the bucket and records them."""
        for key, artifact in outputs.artifacts.items():
            if not _ADDRESS.match(artifact["uri"]):
                raise Refused(f"output {key} has the address {artifact['uri']}, which is no bucket's")
            handover.upload(self._pod_path(artifact["uri"], pod), Path(self.cluster.path(artifact["uri"])))
            outputs.artifacts[key] = handover.kept(key, artifact)
        del outputs.artifacts[handover.LOGS]

    def _process(self, log: Path, spec: Spec, told: Spec, pod: Path) -> tuple[int, str]:
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
        """Fills the placeholders in one word of the command."""
        if word == "{{$}}":
            return json.dumps(told)
        places: dict[str, Callable[[str], str]] = {
            r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}": lambda key: handover.text(
                told["inputs"]["parameterValues"][key]
            ),
            r"\{\{\$\.inputs\.artifacts\['([^']+)'\]\.uri\}\}": lambda key: _first(told["inputs"], key)["uri"],
            r"\{\{\$\.outputs\.artifacts\['([^']+)'\]\.uri\}\}": lambda key: _first(told["outputs"], key)["uri"],
        }
        for pattern, value in places.items():
            word = re.sub(pattern, lambda found, value=value: value(found[1]), word)  # type: ignore[misc]
        return self.cluster.path(word)


def _machines(count: int) -> list[dict[str, str]]:
    """What Vertex adds to the environments of a job's machines, the chief's first; all of them are this machine."""
    with contextlib.ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("localhost", 0))) for _ in range(count)]
        chief, *others = [f"localhost:{each.getsockname()[1]}" for each in taken]
    tasks = [{"type": "chief", "index": 0}, *({"type": "worker", "index": number} for number in range(len(others)))]
    cluster = {"chief": [chief], "worker": others}
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def _upstream(task: Spec) -> set[str]:
    """The tasks that a task waits for."""
    inputs = task.get("inputs", {})
    sources = (*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values())
    inner = [value for source in sources for value in source.values() if isinstance(value, dict)]
    named = {value["producerTask"] for value in inner if "producerTask" in value}
    return {*task.get("dependentTasks", ()), *named}


def _each(side: Spec) -> Iterator[Spec]:
    """Every artifact of an ExecutorInput's inputs, or of its outputs."""
    for found in side.get("artifacts", {}).values():
        yield from found["artifacts"]


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
    try:
        return bool(program.evaluate({"inputs": celpy.json_to_cel(values)}))
    except celpy.CELEvalError as error:
        raise Refused(f"the condition {condition} cannot be evaluated: {error.args[0]}") from error
