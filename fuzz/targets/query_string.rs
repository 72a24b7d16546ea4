//! Query strings: whatever a caller sends is read or refused with every fault named.

#![no_main]

use axum::http::Uri;
use feishu_pulse::{
    api::{
        params::Params,
        selection::{self, read},
    },
    model::{Geo, SystemClock, Clock as _},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let Ok(uri) = Uri::builder().path_and_query(format!("/?{query}")).build() else { return };
    let mut params = Params::of(&uri, &selection::shared());
    let selected = read(&mut params, &[Geo::Cn, Geo::Us]);
    if params.finish().is_ok() {
        let days = selected.query.needed(SystemClock.now());
        assert!(days.first() <= days.last() && days.len() <= 3660);
    }
});
