//! Floor 2: the upstream. Turns Feishu's tokens, pages, windows, limits and oddities into days.
//!
//! ```text
//! source ── spans ── pages ── transport ─┬─ quota     whether the month has calls left
//!           │                            ├─ token     a valid tenant_access_token
//!           └─ plan                      ├─ throttle  a turn at the rate that upstream allows
//!                                        ├─ http      the exchange
//!                                        ├─ calls     how many, how they ended, how long they took
//!                                        └─ verdict   what the reply means; wire and decode: what it says
//! ```

pub mod calls;
pub mod decode;
pub mod desk;
pub mod http;
pub mod lookahead;
pub mod memo;
pub mod pages;
pub mod plan;
pub mod probe;
pub mod quota;
pub mod source;
pub mod spans;
pub mod throttle;
pub mod token;
pub mod trace;
pub mod transport;
pub mod verdict;
pub mod wire;

pub use source::{FeishuConfig, FeishuSource};
