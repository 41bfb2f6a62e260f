"""Where every file of a run is. The only place that knows."""

from dataclasses import dataclass

from dualtail.config.model import Config


@dataclass(frozen=True)
class RunPaths:
    """File names of one run; arguments may be Snakemake wildcards such as `{dataset}`.

    A `variant` names predictions of the same members: `zero-shot`, a tuning (`adaptformer-la-0`: peft,
    loss, seed), an adjusted one (`adaptformer-gla-0`) or a fused one (`adaptformer-la-0-logits`). A
    `split` is val or test, or `occlusion-<condition>` for explained images. No two phases of a run
    (the targets of the Snakefile, the stages of dvc.yaml) write into the same folder.
    """

    root: str

    @classmethod
    def of(cls, config: Config) -> "RunPaths":
        return cls((config.results / config.run).as_posix())

    @property
    def data_check(self) -> str:
        return f"{self.root}/packs/data_check.txt"

    def pack(self, dataset: str, split: str, side: int | str) -> str:
        return f"{self.root}/packs/{dataset}/{split}_{side}px.safetensors"

    def train_counts(self, dataset: str) -> str:
        return f"{self.root}/packs/{dataset}/train_counts.csv"

    def reordered_list(self, dataset: str) -> str:
        return f"{self.root}/reordered/{dataset}/train.txt"

    def reordered_pack(self, dataset: str, side: int | str) -> str:
        return f"{self.root}/reordered/{dataset}/train_{side}px.safetensors"

    def reordered_counts(self, dataset: str) -> str:
        return f"{self.root}/reordered/{dataset}/train_counts.csv"

    def weights(self, member: str) -> str:
        return f"{self.root}/foundation/{member}.safetensors"

    def weights_record(self, member: str) -> str:
        return f"{self.root}/foundation/{member}.weights.json"

    def pretraining_history(self, member: str) -> str:
        return f"{self.root}/foundation/{member}.history.csv"

    def zero_shot_outputs(self, dataset: str, member: str, split: str) -> str:
        return f"{self.root}/outputs/zero_shot/{dataset}/{member}/{split}.safetensors"

    def tuned_outputs(self, dataset: str, member: str, tuning: str, split: str) -> str:
        return f"{self.root}/outputs/tuned/{dataset}/{member}/{tuning}/{split}.safetensors"

    def member_outputs(self, dataset: str, member: str, variant: str, split: str) -> str:
        """Of a zero-shot or a tuned model."""
        if variant == "zero-shot":
            return self.zero_shot_outputs(dataset, member, split)
        return self.tuned_outputs(dataset, member, variant, split)

    def combined_outputs(self, dataset: str, members: str, variant: str, split: str) -> str:
        """Adjusted or fused ones."""
        return f"{self.root}/outputs/combined/{dataset}/{members}/{variant}/{split}.safetensors"

    def knn_outputs(self, dataset: str, member: str, variant: str) -> str:
        return f"{self.root}/outputs/knn/{dataset}/{member}/{variant}/test.safetensors"

    def explained_outputs(self, dataset: str, members: str, variant: str, split: str) -> str:
        return f"{self.root}/outputs/explained/{dataset}/{members}/{variant}/{split}.safetensors"

    def scratch_outputs(self, dataset: str, network: str, variant: str, split: str) -> str:
        return f"{self.root}/outputs/scratch/{dataset}/{network}/{variant}/{split}.safetensors"

    def confounder_outputs(self, network: str, variant: str, split: str) -> str:
        return f"{self.root}/outputs/confounder/{network}/{variant}/{split}.safetensors"

    def adapter(self, dataset: str, member: str, tuning: str) -> str:
        return f"{self.root}/adapters/{dataset}/{member}/{tuning}.safetensors"

    def adapter_record(self, dataset: str, member: str, tuning: str) -> str:
        return f"{self.root}/adapters/{dataset}/{member}/{tuning}.json"

    def tuning_history(self, dataset: str, member: str, tuning: str) -> str:
        return f"{self.root}/adapters/{dataset}/{member}/{tuning}.history.csv"

    def scratch_weights(self, dataset: str, name: str) -> str:
        return f"{self.root}/scratch/{dataset}/{name}.safetensors"

    def scratch_history(self, dataset: str, name: str) -> str:
        return f"{self.root}/scratch/{dataset}/{name}.history.csv"

    def confounder_images(self, file: str) -> str:
        return f"{self.root}/confounder/images/{file}"

    def confounder_history(self, train_set: str, seed: int | str) -> str:
        return f"{self.root}/confounder/{train_set}_train-{seed}.history.csv"

    def prior(self, dataset: str, member: str) -> str:
        return f"{self.root}/priors/{dataset}/{member}.csv"

    def prior_record(self, dataset: str, member: str) -> str:
        return f"{self.root}/priors/{dataset}/{member}.json"

    def maps(self, dataset: str, member: str) -> str:
        return f"{self.root}/explain/{dataset}/{member}.safetensors"

    def examples(self, dataset: str) -> str:
        return f"{self.root}/explain/{dataset}/examples.safetensors"

    @property
    def grad_cam(self) -> str:
        return f"{self.root}/explain/grad_cam.csv"

    @property
    def explanation_scores(self) -> str:
        return f"{self.root}/explain/scores.parquet"

    def scores(self, dataset: str) -> str:
        return f"{self.root}/scores/{dataset}.parquet"

    def class_scores(self, dataset: str) -> str:
        return f"{self.root}/scores/{dataset}.classes.parquet"

    def confounder_scores(self, test_set: str) -> str:
        return f"{self.root}/confounder/{test_set}_test.scores.parquet"

    def confounder_class_scores(self, test_set: str) -> str:
        return f"{self.root}/confounder/{test_set}_test.classes.parquet"

    @property
    def score_table(self) -> str:
        return f"{self.root}/scores.parquet"

    @property
    def score_csv(self) -> str:
        return f"{self.root}/scores.csv"

    @property
    def metrics(self) -> str:
        return f"{self.root}/metrics.json"

    @property
    def costs(self) -> str:
        return f"{self.root}/costs.csv"

    @property
    def class_score_table(self) -> str:
        return f"{self.root}/class_scores.parquet"

    def table(self, number: int, suffix: str) -> str:
        return f"{self.root}/tables/table_{number:02d}.{suffix}"

    def figure(self, number: int, suffix: str) -> str:
        return f"{self.root}/figures/figure_{number:02d}.{suffix}"

    @property
    def world_picture(self) -> str:
        return f"{self.root}/figures/world.png"

    @property
    def summary(self) -> str:
        return f"{self.root}/summary.md"

    def comparison(self, suffix: str) -> str:
        return f"{self.root}/comparison.{suffix}"

    @property
    def studies(self) -> str:
        return f"{self.root}/studies"

    def study(self, name: str, suffix: str) -> str:
        return f"{self.studies}/{name}.{suffix}"

    def study_figure(self, name: str, suffix: str) -> str:
        return f"{self.studies}/figures/{name}.{suffix}"

    def checkpoint(self, *parts: str) -> str:
        """The state of a training while its job runs; no rule's output, or Snakemake would delete it."""
        return f"{self.root}/checkpoints/{'/'.join(parts)}.safetensors"

    def log(self, *parts: str) -> str:
        return f"{self.root}/logs/{'/'.join(parts)}.log"

    def benchmark(self, *parts: str) -> str:
        return f"{self.root}/benchmarks/{'/'.join(parts)}.tsv"
