#!/usr/bin/env bash
# The version matrix: each row is an environment of its own. Takes long; `make test` covers the newest versions.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel_dir=$(mktemp -d)
trap 'rm -rf "$wheel_dir"' EXIT
python -m build --wheel --outdir "$wheel_dir" . >/dev/null
wheel=$(ls "$wheel_dir"/*.whl)

# name | requirements beside the wheel | what to test
rows=(
  "ipykernel-6.31|torch==2.13.0 ipykernel==6.31.*|tests/live tests/ui/test_first_look.py tests/ui/test_steering.py"
  "ipykernel-7.3|torch==2.13.0 ipykernel==7.3.*|tests/live tests/ui/test_first_look.py tests/ui/test_steering.py"
  "ipykernel-7.4|torch==2.13.0 ipykernel==7.4.*|tests/live tests/ui/test_first_look.py tests/ui/test_steering.py"
  "jupyterlab-4.2|torch==2.13.0 jupyterlab==4.2.* notebook==7.2.* ipykernel==6.31.*|tests/ui"
  "jupyterlab-4.3|torch==2.13.0 jupyterlab==4.3.* notebook==7.3.* ipykernel==6.31.*|tests/ui"
  "jupyterlab-4.4|torch==2.13.0 jupyterlab==4.4.* notebook==7.4.*|tests/ui"
  "jupyterlab-4.5|torch==2.13.0 jupyterlab==4.5.* notebook==7.5.*|tests/ui"
  "lowest|torch==2.4.0 numpy==1.26.4 jupyterlab==4.2.0 ipywidgets==8.0.5 bqplot==0.13.1 matplotlib==3.8.0 traitlets==5.14.0 scikit-learn==1.4.0|tests --ignore=tests/packaging --ignore=tests/ui"
)

failed=()
if [ $# -eq 0 ]; then
  echo "== a hundred crashes"
  NNI_CRASHES=100 python -m pytest -q -n auto tests/history/test_crash.py || failed+=("crashes")
  echo "== a hundred thousand steps"
  NNI_STEPS=100000 python -m pytest -q tests/probes/test_growth.py || failed+=("a hundred thousand steps")
  echo "== four processes"
  NNI_PROCESSES=4 python -m pytest -q tests/distributed || failed+=("four processes")
fi
for row in "${rows[@]}"; do
  IFS='|' read -r name requirements tests <<<"$row"
  if [ $# -gt 0 ] && [ "$1" != "$name" ]; then continue; fi
  echo "== $name"
  env="$wheel_dir/$name"
  python -m venv "$env"
  # shellcheck disable=SC2086 # the requirements and tests are lists
  "$env/bin/python" -m pip install --quiet $requirements "$wheel" scikit-learn hypothesis nbmake pytest pytest-playwright pytest-xdist tensorboard tqdm
  # The tests run against the installed wheel, not against the checkout.
  # shellcheck disable=SC2086
  (cd "$wheel_dir" && rm -rf run && mkdir run && cp -r "$OLDPWD/tests" "$OLDPWD/example_notebooks" "$OLDPWD/docs" "$OLDPWD/README.md" "$OLDPWD/package.json" "$OLDPWD/pyproject.toml" run/ &&
    mkdir run/node_modules && cp -r "$OLDPWD/node_modules/axe-core" run/node_modules/ &&
    cd run && PATH="$env/bin:$PATH" "$env/bin/python" -m pytest -q -p no:cacheprovider $tests) || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
