"""Registered models of all kinds, among them prompts, put into the database through MLflow's own store."""

from __future__ import annotations

import random
from typing import Any

PROMPT = "mlflow.prompt.is_prompt"
NAMES = [
    "Mödel 1", "plain", "a_b", "A%b", "axb", "ä", "a'b", "with space", "UPPER", "upper", "50%", "no versions",
    "all gone", "b.c-d", "日本",
]  # fmt: skip
RUNS = ["a" * 32, "b" * 32]
STAGES = ["None", "Staging", "Production", "Archived"]
DESCRIPTIONS = [None, "", "described", "ünï"]


def stock(registry: Any) -> None:
    """Fill it, always with the same; the first two are there already (`filling.py`)."""
    from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

    dice = random.Random(7)
    for place, name in enumerate(NAMES[2:]):
        keys = dice.sample(["a", "b c", "ä"], place % 4)
        tags = [RegisteredModelTag(key, dice.choice(["1", "2", "", "A"])) for key in keys]
        registry.create_registered_model(name, tags, dice.choice(DESCRIPTIONS))
        for number in range(1, 1 + (0 if name == "no versions" else 5)):
            keys = dice.sample(["a", "b c"], number % 3)
            marks = [ModelVersionTag(key, dice.choice(["1", "2", "A"])) for key in keys]
            source = dice.choice(["s3://bucket/model", "mlflow-artifacts:/1", "file:///gone"])
            run = dice.choice([None, "", *RUNS])
            registry.create_model_version(name, source, run, marks, description=dice.choice(DESCRIPTIONS))
            if place % 3:
                registry.transition_model_version_stage(name, number, dice.choice(STAGES), False)
            if name == "all gone" or dice.random() < 0.2:
                registry.delete_model_version(name, number)
            elif dice.random() < 0.4:
                registry.set_registered_model_alias(name, f"alias-{number}", number)
    for number in range(3):
        name = f"prompt {number}"
        tags = [RegisteredModelTag(PROMPT, "true"), RegisteredModelTag("a", "1")]
        registry.create_registered_model(name, tags[: 1 + number % 2])
        registry.create_model_version(name, "prompt-template", None, [ModelVersionTag(PROMPT, "true")])
    registry.create_registered_model("not a prompt", [RegisteredModelTag(PROMPT, "false")])
    registry.create_model_version("not a prompt", "x", None, [ModelVersionTag(PROMPT, "True")])
