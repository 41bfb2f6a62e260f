"""The base of every section of the config: unknown keys are errors, and numbers are numbers."""

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

LARGEST = 2**53
"""Above it a float is no longer every whole number, and nothing here is as many."""


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; write the name that tables and pages show")
    if not text.isprintable():
        raise ValueError("has a line break or a control character; write it in one line")
    return text


Label = Annotated[str, AfterValidator(_one_line)]
"""What tables and pages call an entry."""


class Section(BaseModel):
    """A part of the config. `dualtail config --all` prints the descriptions of its fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's yes, no, on and off are no numbers, and no number is astronomical."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool) and not _takes(annotation, bool):
                raise ValueError(f"YAML reads this as {str(item).lower()}: write a number or text")
            if isinstance(item, int | float) and abs(item) > LARGEST:
                raise ValueError(f"{item} is out of range: numbers here go up to {LARGEST:.0e}")
        return value


def _takes(annotation: Any, kind: type) -> bool:
    return annotation in (kind, Any) or any(_takes(a, kind) for a in get_args(annotation))
