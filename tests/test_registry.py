import subprocess
import sys

import pytest

from dualtail.bias.fusion_rules import FUSION_RULES, make_fusion_rule
from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.errors import UserError
from dualtail.tuning.loss_options import reads_prior
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS, parse_peft_options, peft_class
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options import PEFT_OPTIONS

OWN = """
from torch import nn
import torch
from dualtail.config.section import Section
from dualtail.tuning.peft.method import PeftMethod

class ShiftOptions(Section):
    size: float = 0.5

class Shift(PeftMethod):
    Options = ShiftOptions
    def __init__(self, shape, n_classes, options, generator):
        super().__init__(shape, n_classes, options, generator)
        self.shift = nn.Parameter(torch.full((shape.width,), options.size))
    def attach(self, visual):
        visual.transformer.resblocks[0].ls_1.register_forward_hook(self.add)
    def add(self, module, args, output):
        return output + self.shift.to(output.dtype)

not_a_class = 3
"""


@pytest.mark.parametrize("name", PEFT_OPTIONS)
def test_every_listed_method_exists_and_takes_its_options(name):
    found = peft_class(name)
    assert issubclass(found, PeftMethod)
    assert found.Options is PEFT_OPTIONS[name]


def test_a_users_own_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    found = peft_class(f"{file}:Shift")
    assert found.__name__ == "Shift"
    assert parse_peft_options(f"{file}:Shift", {"size": 2})
    with pytest.raises(UserError, match="sise"):
        parse_peft_options(f"{file}:Shift", {"sise": 2})
    with pytest.raises(UserError, match="no class 'Shfit', did you mean 'Shift'"):
        PEFTS.check(f"{file}:Shfit")
    for missing in ("Shfit", "not_a_class", "ShiftOptions"):
        with pytest.raises(UserError, match=r"it has: .*\bShift\b"):
            peft_class(f"{file}:{missing}")


def test_every_listed_fusion_rule_exists_and_takes_its_options():
    for name, options in FUSION_OPTIONS.items():
        found = FUSION_RULES.find(name)
        assert issubclass(found, FusionRule)
        assert found.Options is options
    with pytest.raises(UserError, match=r"fusion rule 'logits': option 'p': .*options: none"):
        make_fusion_rule("logits", {"p": 1})
    with pytest.raises(UserError, match="unknown fusion rule 'logit', did you mean 'logits'"):
        make_fusion_rule("logit")


def test_a_users_broken_or_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        peft_class(f"{tmp_path}/absent.py:Mine")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_at_all\nclass Mine: pass\n")
    with pytest.raises(UserError, match="no_such_module_at_all"):
        peft_class(f"{broken}:Mine")
    broken.write_text("class :\n")
    with pytest.raises(
        UserError, match=r"broken\.py is not a readable Python file \(invalid syntax"
    ):
        peft_class(f"{broken}:Mine")


def test_looking_up_options_does_not_import_torch():
    code = (
        "import sys; from dualtail.tuning.peft import parse_peft_options, PEFTS;"
        "PEFTS.check('adaptformer'); parse_peft_options('vpt-deep', {});"
        "import dualtail.tuning.settings; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_losses_that_read_the_prior_say_so():
    for name in LOSSES.options:
        assert reads_prior(name) == LOSSES.find(name).needs_prior == (name == "gla")
    assert not reads_prior("mine.py:Loss")
