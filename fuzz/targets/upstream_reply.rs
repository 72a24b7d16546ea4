//! Replies of Feishu: any bytes are a reply, a page of rows, or neither.

#![no_main]

use feishu_pulse::{
    feishu::{
        decode,
        wire::{Page, Reply},
    },
    model::Geo,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let page = match serde_json::from_slice::<Reply<'_>>(body) {
        Ok(Reply { data: Some(data), .. }) => data.get().as_bytes(),
        // What is no reply may still be what stands inside one.
        _ => body,
    };
    if let Ok(page) = serde_json::from_slice::<Page<'_>>(page) {
        let decoded = decode::page(&page, Geo::Cn);
        assert!(decoded.rows.len() <= page.items.as_deref().unwrap_or_default().len());
    }
});
