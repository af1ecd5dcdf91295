"""What importing costs, what it brings along, and that every public name works after every submodule was imported."""

import importlib
import pkgutil
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import blobs, classifier


def run_script(script):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_diagnoses_without_a_widget_library():
    output = run_script("""
        import sys
        for name in ("ipywidgets", "bqplot", "IPython", "matplotlib", "jupyterlab", "comm"):
            sys.modules[name] = None  # importing it would raise
        import torch
        import nn_inspector as nni

        torch.manual_seed(0)
        items = torch.randn(64, 4)
        data = torch.utils.data.TensorDataset(items, items[:, :3].argmax(1))
        loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
        model = torch.nn.Linear(4, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss_fn = torch.nn.CrossEntropyLoss()
        inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader)
        for _ in range(2):
            for x, y in loader:
                loss_fn(model(x), y).backward()
                optimizer.step()
        diagnosis = inspector.diagnose(budget=300)
        print(diagnosis.findings[0].check)
        print(nni.debug_info())
        print(nni.explain("shuffling"))
    """)
    assert output.startswith("zeroed_gradients\n")


def test_importing_brings_little_beyond_torch_says_nothing_and_patches_nothing():
    """What it costs in seconds is measured by benchmarks/; other packages than torch's own are what would cost most."""
    output = run_script("""
        import sys
        import numpy, torch
        modules = set(sys.modules)
        before = {name: id(value) for name, value in vars(torch.nn.Module).items()}
        step = torch.optim.Optimizer.__init__, torch.Tensor.backward, torch.utils.data.DataLoader.__iter__
        import nn_inspector
        assert before == {name: id(value) for name, value in vars(torch.nn.Module).items()}
        assert step == (torch.optim.Optimizer.__init__, torch.Tensor.backward, torch.utils.data.DataLoader.__iter__)
        packages = {name.partition(".")[0] for name in set(sys.modules) - modules}
        print("packages:", *sorted(packages - set(sys.stdlib_module_names)))
    """)
    assert output.startswith("packages: ")
    assert output.count("\n") == 1
    parts_of_torch_and_numpy = {"torch", "numpy"}  # what they import themselves only when it is needed
    brought = {name for name in output.split()[1:] if "cython" not in name}
    assert brought - parts_of_torch_and_numpy == {"nn_inspector"}


MODULES = [module.name for module in pkgutil.walk_packages(nni.__path__, "nn_inspector.")]


def every_public_call(folder):
    """Call every public name once, the way a user would."""
    case = classifier()
    info = nni.CheckInfo("mine", "data", "passive", "?", "", "", "", ())
    check = nni.Check(info, lambda subject: nni.Finding("mine", "ok", ""))
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run=folder / "a"
    ) as inspector:
        case.run(1)
        diagnosis = inspector.diagnose(budget=1.0)
        wizard = nni.wizard(inspector)
        dashboard = inspector.dashboard()
    nni.register_check(check)
    nni.unregister_check("mine")
    curve = nni.Curve(torch.zeros(1).numpy(), torch.zeros(1).numpy())
    return {
        "AmbiguousError": nni.AmbiguousError("x"),
        "ArgumentError": nni.ArgumentError("x", expected="a", got="b", advice="c"),
        "Chart": nni.Chart("lines", "x", "y", {"a": curve}),
        "Check": check,
        "CheckInfo": info,
        "Curve": curve,
        "Diagnosis": isinstance(diagnosis, nni.Diagnosis),
        "ExperimentError": nni.ExperimentError("x"),
        "Finding": isinstance(inspector.findings[0], nni.Finding),
        "Inspector": isinstance(inspector, nni.Inspector),
        "InspectorError": issubclass(nni.ArgumentError, nni.InspectorError),
        "InspectorWarning": issubclass(nni.InspectorWarning, UserWarning),
        "Overhead": isinstance(inspector.overhead, nni.Overhead),
        "Remedy": nni.Remedy("a", "b"),
        "RunFileError": issubclass(nni.RunFileError, nni.InspectorError),
        "Run": isinstance(inspector.run, nni.Run),
        "Series": isinstance(inspector.run.series("loss", "train"), nni.Series),
        "Subject": nni.Subject(inspector.training, inspector.run, 0.0),
        "TrainingStopped": nni.TrainingStopped(3),
        "Trial": nni.Trial([1.0], [1.0], helped=False),
        "__version__": nni.__version__,
        "assert_healthy": nni.assert_healthy(inspector, ignore=[info.name for info in nni.catalog()], active=False),
        "catalog": nni.catalog(),
        "compare": nni.compare(inspector.run, reference=range(2)),
        "debug_info": nni.debug_info(),
        "explain": nni.explain("shuffling"),
        "open_run": nni.open_run(inspector.run.path).steps == inspector.run.steps > 0,
        "runs": [run.path for run in nni.runs(inspector.run.path.parent)] == [inspector.run.path],
        "load_ipython_extension": nni.load_ipython_extension,
        "register_check": True,
        "unload_ipython_extension": nni.unload_ipython_extension,
        "unregister_check": True,
        "watch": True,
        "wizard": wizard is not None and dashboard is not None,
    }


def test_every_submodule_imports_and_then_every_public_name_works(tmp_path):
    for module in MODULES:
        importlib.import_module(module)
    called = every_public_call(tmp_path)
    assert sorted(called) == sorted(nni.__all__)
    assert all(called.values())


def test_no_public_name_is_the_name_of_a_module():
    names = {module.split(".")[1] for module in MODULES}
    assert not names & set(nni.__all__)


def test_the_version_is_that_of_package_json():
    import json
    from pathlib import Path

    package = json.loads((Path(__file__).parents[1] / "package.json").read_text())
    assert nni.__version__ == package["version"]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module):
    assert (importlib.import_module(module).__doc__ or "").strip() or module.endswith("_version")


def test_the_example_of_the_readme_runs():
    import re
    from pathlib import Path

    readme = (Path(__file__).parents[1] / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    code = code.replace("%load_ext nn_inspector\n", "").replace("    ...", "    pass")
    case = classifier(data=blobs())
    loader = case.train_loader
    names = {
        "model": case.model,
        "optimizer": case.optimizer,
        "loss_fn": nn.CrossEntropyLoss(),
        "train_loader": loader,
        "val_loader": loader,
    }
    exec(code, names)
    names["inspector"].detach()
