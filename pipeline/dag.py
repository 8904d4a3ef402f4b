"""The DAG. What the experiment names decides its shape: a corpus is pretrained on, a task is fine-tuned, or both."""

import dataclasses
import pathlib
from typing import Any

from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.trainer.component import Trainer
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2
from tfx.types import Channel, standard_artifacts

from components import digest
from components.data.data_gate import DataGate
from components.data.example_gen import RecordExampleGen
from components.data.importer import CheckpointImporter
from components.data.source_digest import SourceDigest
from components.data.statistics_gen import StatisticsGen
from components.data.teacher_inferrer import TeacherInferrer
from components.data.transform import Transform
from components.data.vocabulary_gen import VocabularyGen
from components.deploy.bulk_inferrer import BulkInferrer
from components.deploy.pusher import Pusher
from components.deploy.serving_validator import ServingValidator
from components.deploy.versions import versions
from components.deploy.vertex_pusher import VertexPusher
from components.evaluate.analysis_gate import AnalysisGate
from components.evaluate.analyzer import Analyzer
from components.evaluate.baseline import Baseline, BaselineVersion
from components.evaluate.evaluator import Evaluator
from components.evaluate.pretraining_evaluator import PretrainingEvaluator
from components.evaluate.resolver import PreviousBlessedModel
from configs.clusters.vertex import Vertex
from configs.environment import Environment, Local
from configs.experiment import Experiment
from models import families, task, vocabularies
from pipeline.run import imports, sources, teachers


def create_pipeline(
    experiment: Experiment, environment: Environment, *, cache: bool = True, sample: int | None = None
) -> Pipeline:
    """Every shape of the pipeline.

    Args:
      experiment: what is trained on what.
      environment: where it runs.
      cache: whether a node whose inputs, settings and source are unchanged is reused.
      sample: records (documents) of each source that are read; then nothing is pushed.
    """
    experiment = imports.labelled(experiment, environment)
    dag = _Dag(experiment, environment, sample or 0)
    model = dag.checkpoint()
    corpus = dag.source("corpus") if experiment.corpus else None
    records = dag.source("task") if experiment.task else None
    sides = [dag.source(name) for name in (dag.kinds["task"].sides if records else ())]
    reads = imports.reads(experiment, environment)
    vocabulary_model = dag.importer(imports.placed(reads, experiment, environment)) if reads else model
    vocabulary = dag.vocabulary([source for source in (corpus, records) if source], sides, vocabulary_model)
    if corpus:
        transform = dag.transform(corpus, vocabulary)
        if experiment.analyzed_alone:
            assert model is not None
            dag.gate_analysis(dag.analyze(corpus, transform, model))
            return dag.pipeline(cache)
        before = model
        model = dag.pretrain(transform, model)
        if not records:
            evaluator = dag.evaluate_pretraining(transform, model, dag.analyze(corpus, transform, model, before))
    if records:
        transform = dag.transform(records, vocabulary)
        taught = dag.taught(records, transform, corpus)
        before = model
        model = dag.train(transform, model, taught)
        evaluator = dag.evaluate_task(records, model, dag.analyze(records, transform, model, before), taught)
    validator = dag.validate(model)
    if experiment.scored:
        dag.score(model, evaluator, validator)
    dag.push(model, evaluator, validator)
    return dag.pipeline(cache)


@dataclasses.dataclass(frozen=True)
class _Source:
    """What a source gives to the nodes behind its gate.

    Attributes:
      name: of the source.
      featurizer: path of the class whose ``featurize`` Transform calls; empty where nothing transforms them.
      config: what that class is called with.
    """

    name: str
    featurizer: str
    config: dict[str, Any]
    examples: Channel
    schema: Channel
    gate: DataGate


class _Dag:
    """Nodes under construction. Every node gets only the part of the configuration that it depends on."""

    def __init__(self, experiment: Experiment, environment: Environment, sample: int) -> None:
        self.experiment, self.environment, self.sample = experiment, environment, sample
        self.root = environment.folder(experiment.name)
        given = experiment.task
        self.task: dict[str, Any] = {"type": given.type, "config": given.own()} if given else {}
        self.family = families.load(task.load(given.type).family if given else "text")
        self.task_module = task.load(given.type).__module__ if given else ""
        self.kinds = sources.of(experiment)
        self.bless = experiment.evaluate.bless.model_dump(mode="json", exclude_none=True)
        self.nodes: list[BaseNode] = []

    def node_path(self, path: pathlib.Path) -> str:
        """What the nodes call a file of ours."""
        return self.environment.node_path(path, self.experiment.name)

    def digest(self, *modules: str) -> str:
        """Of the code behind a node."""
        return digest.of_source(*modules) if isinstance(self.environment, Local) else self.environment.image

    def by_name(self) -> tuple[str, ...]:
        """The modules of the family: found by name, they are in no import that a digest could follow."""
        return families.module(self.family.name), vocabularies.module(self.family.vocabulary)

    def add(self, node: BaseNode, name: str, source: str = "task") -> Any:
        """The nodes of every source but the main one carry its name: ``CorpusTransform`` beside ``Transform``."""
        main = ("task",) if self.experiment.task else ("task", "corpus")
        prefix = "" if source in main else source.capitalize()
        self.nodes.append(node.with_id(prefix + name))
        return node

    def checkpoint(self) -> Channel | None:
        """The experiment's checkpoint."""
        folder = imports.checkpoint(self.experiment, self.environment)
        return self.importer(folder) if folder else None

    def importer(self, folder: pathlib.Path, name: str = "Checkpoint") -> Channel:
        """A base model, or a teacher."""
        if self.environment.has_importer:
            importer = Importer(source_uri=self.node_path(folder), artifact_type=standard_artifacts.Model)
            return self.add(importer, name).outputs["result"]
        return self.add(CheckpointImporter(self.node_path(folder)), name).outputs["model"]

    def source(self, name: str) -> _Source:
        """The nodes from files to records that are as they should be."""
        kind = self.kinds[name]
        examples = self.examples(name)
        counting = StatisticsGen(examples, self.digest("components.data.statistics_gen"))
        statistics = self.add(counting, "StatisticsGen", name).outputs["statistics"]
        own = self.experiment.task.schema_ if self.experiment.task and name == "task" else None
        schema_file = imports.schema(self.experiment, self.environment, kind.schema(own))
        schema = self.add(ImportSchemaGen(schema_file=self.node_path(schema_file)), "SchemaGen", name).outputs["schema"]
        validator = self.add(ExampleValidator(statistics=statistics, schema=schema), "ExampleValidator", name)
        looked_at = {"examples": examples, "kind": kind.name} if kind.gauged else {}
        gating = DataGate(validator.outputs["anomalies"], kind.source.section, **looked_at)
        gate = self.add(gating, "DataGate", name)
        if kind.featurizer:
            return _Source(name, kind.featurizer, {}, examples, schema, gate)
        featurizer = f"{self.task_module}.Task" if name == "task" else ""
        return _Source(name, featurizer, self.task.get("config", {}), examples, schema, gate)

    def examples(self, name: str) -> Channel:
        """The records of a source."""
        kind = self.kinds[name]
        source, input_digest = imports.data(self.experiment, self.environment, kind.own)
        if input_digest is None:
            node = self.add(SourceDigest(source, kind.name), "Digest", name)
            input_digest = node.outputs["digest"].future()[0].value
        reader = RecordExampleGen(
            kind.name,
            source,
            labels=kind.labels,
            slices=kind.slices,
            input_digest=input_digest,
            source_digest=self.digest("components.data.example_gen", type(kind).__module__),
            bad_records_path=self.node_path(self.root / f"{name}_bad_records.csv"),
            sample=self.sample,
        )
        return self.add(reader, "ExampleGen", name).outputs["examples"]

    def vocabulary(self, sources: list[_Source], sides: list[_Source], base: Channel | None) -> Channel:
        text = self.experiment.text.model_dump(mode="json")
        wanted, path = self.experiment.vocabulary, imports.vocabulary(self.experiment, self.environment)
        node = VocabularyGen(
            [source.examples for source in sources],
            source_digest=self.digest("components.data.vocabulary_gen", vocabularies.module(self.family.vocabulary)),
            kind=self.family.vocabulary,
            features=list(dict.fromkeys(name for source in sources for name in self.kinds[source.name].texts)),
            side=sides[0].examples if sides else None,
            side_features=[name for side in sides for name in self.kinds[side.name].texts],
            learn=wanted.learn if wanted else None,
            path=self.node_path(path) if path else None,
            base_model=base,
            reserve=[*(wanted.reserve if wanted else ()), *self.family.reserve],
            **{**text, "mode": text["mode"] or self.family.mode},
        )
        for source in (*sources, *sides):
            node.add_upstream_node(source.gate)
        return self.add(node, "VocabularyGen").outputs["vocabulary"]

    def transform(self, source: _Source, vocabulary: Channel) -> Transform:
        module = source.featurizer.rpartition(".")[0]
        node = Transform(
            examples=source.examples,
            schema=source.schema,
            vocabulary=vocabulary,
            featurizer=source.featurizer,
            config=source.config,
            source_digest=self.digest(
                "components.data.transform", "components.data.featurize", module, *self.by_name()
            ),
        )
        # A gate has no consumers: without this, Transform may run before it.
        node.add_upstream_node(source.gate)
        self.add(node, "Transform", source.name)
        return node

    def pretrain(self, transform: Transform, base: Channel | None) -> Channel:
        assert self.experiment.pretrain is not None
        config = {"pretrain": self.experiment.pretrain.model_dump(mode="json", exclude_none=True)}
        config |= self._common("components.train.pretrainer", *self.by_name(), base=base)
        inputs = self._trained_on(transform, base)
        return self._trainer("Pretrainer", "components.train.pretrainer", inputs, config)

    def taught(self, source: _Source, transform: Transform, corpus: _Source | None) -> Channel | None:
        """The transformed records with the answers of the teacher; None without one."""
        given, found = self.experiment.train.teacher, teachers.find(self.experiment, self.environment)
        if given is None or found is None:
            return None
        texts = self.examples("teacher") if given.texts else None
        if corpus and texts is None and "text_pair" not in self.kinds["task"].texts:
            texts = corpus.examples
        node = TeacherInferrer(
            source.examples,
            transform.outputs["transformed_examples"],
            transform.outputs["transform_graph"],
            self.importer(teachers.placed(found, self.experiment, self.environment), "Teacher"),
            texts,
            the_task=self.task,
            name=found.name,
            most=given.most,
            augment=given.augment or 0,
            source_digest=self.digest("components.data.teacher_inferrer", self.task_module),
        )
        return self.add(node, "TeacherInferrer").outputs["taught_examples"]

    def train(self, transform: Transform, base: Channel | None, taught: Channel | None) -> Channel:
        config: dict[str, Any] = {"task": self.task, "train": self.experiment.train.own()}
        if self.experiment.explain:
            config["explain"] = True
        modules = (self.task_module, *self.by_name())
        config |= self._common("components.train.trainer", *modules, base=base)
        best = None
        if tune := self.experiment.tune:
            searched = {
                **config,
                "tune": tune.model_dump(mode="json"),
                "source_digest": self.digest("components.train.tuner", *modules),
            }
            node = Tuner(
                tuner_fn="components.train.tuner.tuner_fn",
                **self._trained_on(transform, base, taught),
                custom_config=searched,
            )
            best = self.add(node, "Tuner").outputs["best_hyperparameters"]
        inputs = self._trained_on(transform, base, taught)
        return self._trainer("Trainer", "components.train.trainer", inputs, config, best)

    def _common(self, *modules: str, base: Channel | None) -> dict[str, Any]:
        """What every training depends on."""
        encoder = self.experiment.encoder
        return {
            "encoder": encoder.arguments() if encoder and base is None else None,
            "seed": self.experiment.seed,
            **({"deterministic": True} if self.experiment.deterministic else {}),
            "source_digest": self.digest(*modules),
        }

    @staticmethod
    def _trained_on(transform: Transform, base: Channel | None, taught: Channel | None = None) -> dict[str, Any]:
        return {
            "examples": taught or transform.outputs["transformed_examples"],
            "transform_graph": transform.outputs["transform_graph"],
            "base_model": base,
            "train_args": trainer_pb2.TrainArgs(),
            "eval_args": trainer_pb2.EvalArgs(),
        }

    def _trainer(
        self,
        name: str,
        module: str,
        inputs: dict[str, Any],
        config: dict[str, Any],
        hyperparameters: Channel | None = None,
    ) -> Channel:
        trainer = Trainer(
            run_fn=f"{module}.run_fn",
            **inputs,
            custom_config=config,
            hyperparameters=hyperparameters,
        )
        return self.add(trainer, name).outputs["model"]

    def baseline(self, model: Channel) -> Channel:
        if not isinstance(self.environment, Local):
            pushed = self.environment.pushed(self.experiment.name)
            version = self.add(BaselineVersion(model, pushed), "BaselineVersion").outputs["version"]
            return self.add(Baseline(pushed, version), "Baseline").outputs["baseline"]
        resolver = Resolver(
            strategy_class=PreviousBlessedModel,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
            candidate=model,
        )
        return self.add(resolver, "Resolver").outputs["model"]

    def analyze(
        self, source: _Source, transform: Transform, model: Channel, before: Channel | None = None
    ) -> Channel | None:
        """What is inside the model; None where nobody asked."""
        if self.experiment.analyze is None:
            return None
        tagged = self.source("probe") if self.experiment.tagged_words else None
        node = Analyzer(
            model,
            before if self.family.vocabulary == "wordpiece" else None,
            source.examples,
            transform.outputs["transformed_examples"],
            transform.outputs["transform_graph"],
            self.experiment.analyze.looked,
            self.task if source.name == "task" else {},
            max_regression=self.bless["max_regression"],
            seed=self.experiment.seed,
            source_digest=self.digest(
                "components.evaluate.analyzer", *([self.task_module] if self.task else []), *self.by_name()
            ),
            shown=not isinstance(self.environment, Local),
            probe_examples=tagged.examples if tagged else None,
            deterministic=self.experiment.deterministic,
        )
        if tagged:
            node.add_upstream_node(tagged.gate)
        return self.add(node, "Analyzer").outputs["analysis"]

    @property
    def analysis_bless(self) -> dict[str, float]:
        """Bounds of the analysis."""
        return self.experiment.analyze.bless if self.experiment.analyze else {}

    def gate_analysis(self, analysis: Channel | None) -> None:
        assert analysis is not None
        source = self.digest("components.evaluate.analysis_gate")
        self.add(AnalysisGate(analysis, self.analysis_bless, source), "Evaluator")

    def evaluate_task(
        self, source: _Source, model: Channel, analysis: Channel | None, taught: Channel | None
    ) -> Evaluator:
        evaluator = Evaluator(
            examples=source.examples,
            schema=source.schema,
            model=model,
            baseline_model=self.baseline(model),
            the_task=self.task,
            slices=[*task.load(self.task["type"]).slices, *self.experiment.evaluate.slices],
            bless=self.bless,
            baselines=self.experiment.evaluate.compared(task.load(self.task["type"]).baselines),
            source_digest=self.digest("components.evaluate.evaluator", self.task_module),
            shown=not isinstance(self.environment, Local),
            analysis=analysis,
            analysis_bless=self.analysis_bless,
            taught=taught,
        )
        self.add(evaluator, "Evaluator")
        return evaluator

    def evaluate_pretraining(
        self, transform: Transform, model: Channel, analysis: Channel | None
    ) -> PretrainingEvaluator:
        assert self.experiment.pretrain is not None
        evaluator = PretrainingEvaluator(
            examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            model=model,
            baseline_model=self.baseline(model),
            pretrain=self.experiment.pretrain.model_dump(mode="json", exclude_none=True),
            bless=self.bless,
            seed=self.experiment.seed,
            source_digest=self.digest("components.evaluate.pretraining_evaluator"),
            shown=not isinstance(self.environment, Local),
            analysis=analysis,
            analysis_bless=self.analysis_bless,
        )
        self.add(evaluator, "Evaluator")
        return evaluator

    def validate(self, model: Channel) -> ServingValidator:
        source = self.digest(
            "components.deploy.serving_validator", "models.export.serving_check", families.module(self.family.name)
        )
        validator = ServingValidator(model, source)
        self.add(validator, "ServingValidator")
        return validator

    def score(self, model: Channel, evaluator: BaseNode, validator: ServingValidator) -> None:
        records = self.examples("score")
        source_digest = self.digest("components.deploy.bulk_inferrer")
        answers = task.load(self.task["type"]).answers
        node = BulkInferrer(records, model, evaluator.outputs["blessing"], answers, source_digest)
        # It takes no InfraBlessing: a model that cannot be served stops the run here.
        node.add_upstream_node(validator)
        self.add(node, "BulkInferrer")

    def push(self, model: Channel, evaluator: BaseNode, validator: ServingValidator) -> None:
        if self.sample:
            return
        folder = self.environment.pushed(self.experiment.name)
        destination = pusher_pb2.PushDestination.Filesystem(base_directory=folder)
        pusher = Pusher(
            model=model,
            model_blessing=evaluator.outputs["blessing"],
            infra_blessing=validator.outputs["blessing"],
            push_destination=pusher_pb2.PushDestination(filesystem=destination),
            # What is there decides too: the same model is pushed again behind another one.
            custom_config={"versions": versions(folder)} if isinstance(self.environment, Local) else None,
        )
        self.add(pusher, "Pusher")
        where = self.environment
        if isinstance(where, Vertex) and where.endpoint:
            node = VertexPusher(
                pusher.outputs["pushed_model"],
                where.endpoint,
                project=where.project,
                region=where.region,
                encryption_key=where.encryption_key,
                name=self.experiment.name,
                folder=f"{where.home(self.experiment.name)}/vertex_model",
                source_digest=self.digest("components.deploy.vertex_pusher"),
            )
            self.add(node, "VertexPusher")

    def pipeline(self, cache: bool) -> Pipeline:
        where: dict[str, Any]
        name = self.experiment.name
        if isinstance(self.environment, Local):
            store = metadata.sqlite_metadata_connection_config(str(self.root / "metadata.sqlite"))
            where = {"pipeline_root": str(self.root / "artifacts"), "metadata_connection_config": store}
        else:
            where = {"pipeline_root": f"{self.environment.pipeline_root}/{self.experiment.name}"}
            name = name.replace("_", "-")  # what Kubeflow's names may hold
        return Pipeline(
            pipeline_name=name,
            components=self.nodes,
            enable_cache=cache,
            beam_pipeline_args=self.environment.beam_pipeline_args,
            **where,
        )
