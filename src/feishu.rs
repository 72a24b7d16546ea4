//! The upstream client: fetches days of usage data from Feishu.
//!
//! A day, or a range of days, is fetched by a *chain* of calls, one per page. The modules of a call, from the `DaySource`
//! to the reply:
//!
//! ```text
//! source             implements DaySource
//! └─ day_batcher     combines requested days into ranges (range_plan), queues them (fetch_queue) and
//! │                     counts the calls that they still need (remaining_work) and the memory of their rows (loading_limit)
//!    └─ page_fetcher    fetches the pages of one range (page_lookahead requests pages ahead; chain_saver saves the rows
//!       │               so far, chain_rows, so that a restart continues)
//!       └─ stats_client    fetches one page and retries
//!          ├─ quota           calls of the month
//!          ├─ token           access token
//!          ├─ throttle        rate limit (crate adaptive-throttle)
//!          ├─ http            one HTTP request; reachability records whether upstream replies
//!          ├─ reply_class     classifies the reply; wire and decode parse it (json_repair, count_parser)
//!          ├─ clock_check     compares the clock with that of upstream
//!          └─ call_metrics, call_trace, throttle_metrics
//! ```
//!
//! `fetch_observer` is what a fetch reports to the days that are known, and reads from them.
//!
//! `state_file` keeps the call count and the learned rate limit across restarts. `access_probe` checks the access for the
//! command `check`.

pub mod access_probe;
pub mod call_metrics;
pub mod call_trace;
pub mod chain_rows;
pub mod chain_saver;
pub mod clock_check;
pub mod count_parser;
pub mod day_batcher;
pub mod decode;
pub mod fetch_observer;
pub mod fetch_queue;
pub mod http;
pub mod json_repair;
mod loading_limit;
pub mod page_fetcher;
pub mod page_lookahead;
pub mod quota;
pub mod range_plan;
pub mod reachability;
pub mod remaining_work;
pub mod reply_class;
pub mod source;
pub mod state_file;
pub mod stats_client;
mod throttle_metrics;
pub mod token;
pub mod wire;

pub use source::{FeishuConfig, FeishuSource};
