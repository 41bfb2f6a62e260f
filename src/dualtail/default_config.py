"""The default run: the embedded world, no downloads, minutes on two cores."""

from pathlib import Path

from dualtail.config.model import Config, Controls, Studies, Study, Variants
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.settings import (
    CorpusEntry,
    DatasetEntry,
    ImageListFiles,
    OcclusionImages,
    Reordered,
)
from dualtail.datasets.world.settings import FineGrained, WorldSettings
from dualtail.foundation.settings import FoundationEntry, Transform, Weights
from dualtail.scratch.settings import ScratchSettings, ScratchTraining
from dualtail.tuning.settings import (
    LOSS_OPTIONS,
    Augmentation,
    LossEntry,
    PeftEntry,
    TuningSettings,
)

WORLD_FOLDER = Path("data/world")
WORLD_ARCHITECTURE = "world-vit-8"
MEMBERS = {"clip": "CLIP", "openclip": "OpenCLIP", "metaclip": "MetaCLIP"}


def default_config() -> Config:
    """The config that `config.yaml` spells out."""
    return Config(
        run="world",
        study=Study(
            datasets=["world_objects", "world_places", "world_species"],
            members=list(MEMBERS),
            pefts=["adaptformer", "vpt"],
            losses=["ce", "la"],
            seeds=[0, 1],
            # Tables 3, 4 and 12 are about one model.
            variants=[Variants(losses=["gla_first", "gla_train", "decoupling"])],
        ),
        datasets={
            "world_objects": _world_dataset("world_objects", "World-Objects", "imagenet_lt"),
            "world_places": _world_dataset(
                "world_places", "World-Places", "places365_lt"
            ).model_copy(
                update={
                    "reordered": Reordered(
                        pool=ImageListFiles(list=Path("pool.txt"), images=Path("pool.zip"))
                    )
                }
            ),
            # Like iNaturalist2018 it has no validation split: the world draws one, but nothing reads it.
            "world_species": _world_dataset(
                "world_species", "World-Species", "inat2018"
            ).model_copy(update={"val": None, "prior_split": "train"}),
        },
        corpora={name: CorpusEntry(root=WORLD_FOLDER / "corpora" / name) for name in MEMBERS},
        foundation={
            name: FoundationEntry(
                label=label,
                architecture=WORLD_ARCHITECTURE,
                weights=Weights(corpus=name),
                transform="world",
            )
            for name, label in MEMBERS.items()
        },
        prompts={"photo": ["a photo of a {}."], "class_name": ["{}"], "ensemble": "openai-80"},
        transforms={
            "world": Transform(resize=32, crop=32),
            "clip": Transform(resize=256, crop=224),
        },
        pefts={
            "adaptformer": PeftEntry(
                label="AdaptFormer",
                method="adaptformer",
                options={"bottleneck": 8, "scale": 0.1},
            ),
            "vpt": PeftEntry(label="VPT", method="vpt-deep", options={"prompts": 10}),
        },
        losses={
            name: LossEntry(method=name, options=options().model_dump())
            for name, options in LOSS_OPTIONS.items()
            if name != "gla"
        }
        | {
            "gla_first": LossEntry(method="gla"),
            "gla_train": LossEntry(method="la", retrain="gla_first"),
            "decoupling": LossEntry(method="la", retrain="ce"),
        },
        # The paper's learning rate (0.01) hardly moves an adapter of this size.
        tuning=TuningSettings(
            epochs=5,
            lr=0.1,
            precision="float32",
            augmentation=Augmentation(crop_scale=None, flip=False),
        ),
        scratch=ScratchSettings(
            dataset="world_objects",
            loss="la",
            seeds=[0, 1],
            training=ScratchTraining(
                architecture="resnet20",
                width=8,
                epochs=8,
                batch_size=64,
                lr=0.1,
                augmentation=Augmentation(crop_scale=None, flip=False),
            ),
        ),
        confounder=ConfounderSettings(
            train_per_class=40,
            test_per_class=50,
            seeds=[0, 1, 2],
            training=ScratchTraining(
                architecture="resnet32",
                width=8,
                epochs=16,
                batch_size=16,
                lr=0.02,
                augmentation=Augmentation(crop_scale=None, flip=False),
            ),
        ),
        studies=Studies(controls=Controls(datasets=["world_objects", "world_places"], seeds=3)),
        world=WorldSettings(
            datasets={
                "world_objects": "smooth",
                "world_places": "blocks",
                "world_species": "smooth",
            },
            fine_grained={"world_species": FineGrained()},
            # As many as the largest class of a training split has.
            pools={"world_places": 260},
            unbiased={f"{name}_unbiased": name for name in MEMBERS},
        ),
    )


def _world_dataset(name: str, label: str, role: str) -> DatasetEntry:
    files = {
        split: ImageListFiles(list=Path(f"{split}.txt"), images=Path(f"{split}.zip"))
        for split in ("train", "val", "test")
    }
    occlusion = OcclusionImages(
        table=Path("pairs.csv"),
        images=Path("pairs.zip"),
        conditions={
            "both": "both visible",
            "body_hidden": "body hidden",
            "head_hidden": "head hidden",
        },
    )
    return DatasetEntry.model_validate(
        {
            "label": label,
            "role": role,
            "root": WORLD_FOLDER / name,
            "occlusion": occlusion,
            **files,
        }
    )
