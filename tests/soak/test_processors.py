"""The stored numbers are the same on other processors: the notebooks once more, as those would compute them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]
WIDE = " ".join(feature for feature in __cpu_dispatch__ if __cpu_features__[feature])  # what NumPy would use here
PROCESSORS = {
    # OpenBLAS chooses its matrix products by the processor; these two have and lack the fused multiply-add.
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    # NumPy chooses its exp, sin and tanh in the same way and does not ask OpenBLAS.
    "an old one": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": WIDE},
}


def run(arguments, **environment):
    """What a Python of this environment prints, both streams."""
    command = [sys.executable, *arguments]
    process = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


@pytest.mark.parametrize("core", ["Haswell", "Nehalem"])
def test_openblas_obeys(core):
    said = run(["-c", "import numpy"], OPENBLAS_CORETYPE=core, OPENBLAS_VERBOSE="2")
    assert f"Core: {core}" in said, f"this NumPy does not take its processor from OPENBLAS_CORETYPE: {said!r}"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_notebooks_give_the_same_numbers_on(processor):
    print(run(["-m", "pytest", "notebooks", "-q"], **PROCESSORS[processor]))
