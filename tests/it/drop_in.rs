//! The drop-in API: an official SDK gets the same responses as from Feishu.

mod errors;
mod responses;
mod sdk;
