# Needs only what the commands need: everything behind `check` lives in .ci/ and runs without just.

# List the recipes.
default:
    @just --list

# Everything that a change must pass. Tools beyond Rust, Python and npm are installed into the user's cache.
check:
    .ci/check

# Write what is generated: the OpenAPI document, the settings, the chart's README and dashboards.
generate:
    .ci/generate

# The gateway and a simulated Feishu on loopback; `just demo --help` for its options.
demo *options:
    cargo run --release -- demo {{ options }}

# The tests alone.
test *filter:
    cargo test {{ filter }}

# Measure.
bench *filter:
    cargo bench {{ filter }}
