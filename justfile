# Short names for commands. The checks are scripts in .ci/ and also run without just.

# List the recipes.
default:
    @just --list

# Run everything that a change must pass. Tools beyond Rust, Python and npm are installed into the user's cache.
check:
    .ci/check

# Write the generated files: the OpenAPI document, the references of settings and problems, the chart's README and dashboards.
generate:
    .ci/generate

# Run the gateway and a simulated Feishu on loopback; `just demo --help` lists the options.
demo *options:
    cargo run --release -- demo {{ options }}

# Run the tests of all crates.
test *filter:
    cargo test {{ filter }}

# Run the benchmarks of all crates.
bench *filter:
    cargo bench {{ filter }}
