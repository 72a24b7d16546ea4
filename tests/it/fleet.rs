//! Tests of several replicas: the stores that elect a leader, on real servers that `.ci/fleet` starts.

mod forwarding;
mod gateways;
mod members;
mod stores;
mod tls;
