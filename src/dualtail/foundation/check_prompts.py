"""What the text tower will be given, before a run: prompts as they are, and those that it cuts."""

import re
from collections.abc import Sequence
from typing import Any

from dualtail.foundation.prompts import class_texts
from dualtail.foundation.settings import PromptSet

SHOWN = 3
WORDNET = re.compile(r"n\d{8}\b")


def check_prompts(prompts: PromptSet, class_names: Sequence[str], tokenizer: Any) -> list[str]:
    """Return lines for the user: the first prompts, and how many the text tower cuts.

    Args:
        tokenizer: See `loading.tokenizer_of`.

    Raises:
        UserError: a descriptor file that cannot be read, or without some class.
    """
    from dualtail.foundation.zero_shot import cut_in_words, tokens_of

    texts = class_texts(prompts, class_names)
    lines = [f"prompts: {', '.join(repr(own[0]) for own in texts[:SHOWN])} ..."]
    flat = [text for own in texts for text in own]
    tokens, cut = tokens_of(tokenizer, flat)
    if cut:
        lines.append(f"note: {cut_in_words(cut, len(flat), tokens.shape[1])}")
    return lines


def with_folder(class_names: Sequence[str]) -> list[str]:
    """Return the names that seem to be lines of `folder name`: said twice, or after a WordNet id."""
    return [name for name in class_names if WORDNET.match(name) or _is_double(name)]


def _is_double(name: str) -> bool:
    """Whether the words of a name are the same words twice: `airplane airplane`, `sea_horse sea horse`."""
    words = re.sub(r"[\W_\d]+", " ", name.casefold()).split()
    half = len(words) // 2
    return half > 0 and words[:half] == words[half:]
