//! Calls to Feishu: their number, order, rate and quota, the access token, and faults of the upstream.

mod calls;
mod clock;
mod estimates;
mod limits;
mod lookahead;
mod odd_rows;
mod one_failing_day;
mod pages;
mod priorities;
mod quota;
mod token;
mod unattended;
