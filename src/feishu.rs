//! The upstream: everything that knows Feishu's `admin_user_stats`.

pub mod throttle;
