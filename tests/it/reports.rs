//! Every report equals a naive computation: on random small tenants without a network, and over HTTP against the
//! simulator.

mod endpoints;
mod formats;
mod naive;
mod parquet;
mod pictures;
mod properties;
mod tenant;
mod worked_example;
