//! Fuzzes Feishu's replies: decoding must not panic, and a day built from the decoded rows must survive archiving
//! unchanged.
//!
//! The first line of the input contains the status and the two rate limit headers, separated by semicolons. The rest is
//! the body.

#![no_main]

use std::{sync::Arc, time::Duration};

use adaptive_throttle::RateLimitHints;
use axum::http::HeaderValue;
use bytes::Bytes;
use feishu_pulse::{
    feishu::{
        decode::{self, DecodedPage, NextPage},
        reply_class::{self, ReplyClass},
        token,
    },
    model::{DayKey, DayRange},
    report::digest::{self, MembershipCache},
    source::UpstreamDetail,
    table::{
        Counter, DayMetadata as _, DayTable, DayTableBuilder, Dictionary, Flag, MAX_COUNT, RowField, RowSyntax,
        RowWriter,
        parquet::{self, ParquetDay},
    },
};
use feishu_pulse_fuzz::key;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;

/// Maximum length of a text from a reply in a problem detail or a log line, in bytes.
const MAX_TEXT_BYTES: usize = 512;

fuzz_target!(|input: &[u8]| {
    let head_length = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (head, body) = input.split_at(head_length);
    let status = read_head(std::str::from_utf8(head).unwrap_or_default());
    let text = String::from_utf8_lossy(body);
    if let Some((value, life)) = token::parse_token_reply(&text) {
        let value = HeaderValue::from_str(&format!("Bearer {}", value.expose_secret()));
        assert!(value.is_ok_and(|value| value.len() > "Bearer ".len()), "a token that is not a valid header value");
        assert!((1..=7200).contains(&life.as_secs()));
    }

    let classified = reply_class::classify(status, None, &text);
    assert_texts(&classified.class, &classified.upstream);
    let is_success = classified.class == ReplyClass::Success;
    assert_eq!(is_success, classified.upstream.code == Some(0), "the code determines the class");
    let DayKey { geo, day, .. } = key();
    let in_one_pass = decode::decode_success(&text, geo, DayRange::single(day));
    assert!(is_success || in_one_pass.is_none(), "a failure has no page");
    if is_success {
        let envelope = classified.envelope.expect("a successful reply has an envelope");
        let page = decode::decode_payload(envelope.data, geo, DayRange::single(day));
        if let Some(in_one_pass) = in_one_pass {
            assert_eq!(in_one_pass, page, "both ways of decoding agree");
        }
        check_page(page, body.len());
    }
});

/// Parses the first line, checks the rate limit hints and returns the status.
fn read_head(head: &str) -> StatusCode {
    let mut parts = head.split(';');
    let status = parts.next().and_then(|status| status.parse().ok());
    let hints = RateLimitHints::parse(parts.next(), parts.next());
    assert!(hints.limit.is_none_or(|limit| (1.0..1e9).contains(&limit)));
    assert!(hints.reset.is_none_or(|reset| reset <= Duration::from_secs(120)));
    status.unwrap_or(StatusCode::OK)
}

/// Texts that are copied from a reply into logs and problem details are short and contain no control characters.
fn assert_texts(class: &ReplyClass, upstream: &UpstreamDetail) {
    let reason = match class {
        ReplyClass::Forbidden(reason) | ReplyClass::Rejected(reason) | ReplyClass::Transient(reason) => Some(reason),
        _ => None,
    };
    for text in reason.into_iter().chain(&upstream.log_id) {
        assert!(!text.is_empty() && text.len() <= MAX_TEXT_BYTES, "{} bytes", text.len());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

fn check_page(page: DecodedPage<'_>, body: usize) {
    assert!(page.rows.len() <= body, "more rows than bytes");
    for row in &page.rows {
        assert!(row.unreadable_values as usize <= Counter::COUNT + Flag::SENT.len());
        assert!(row.counters.iter().all(|count| *count <= MAX_COUNT));
    }
    if let NextPage::Token(token) = &page.next {
        assert!(!token.trim().is_empty(), "an empty page token");
    }
    if page.rows.is_empty() {
        return;
    }
    // Builds a day in the same way as the page fetcher.
    let (dictionary, row_count) = (Arc::default(), page.rows.len());
    let mut builder = DayTableBuilder::new(key(), Arc::clone(&dictionary));
    page.pack(&dictionary).rows.into_iter().for_each(|packed| builder.push_packed(packed.row));
    let day = builder.finish(Timestamp::UNIX_EPOCH);
    assert!(day.row_count() <= row_count && day.row_count() > 0);
    check_lines(&day);

    let file = parquet::encode(&day, &digest::encode_digest(&day)).expect("encoding a day succeeds");
    let file = ParquetDay::new(Bytes::from(file), &key()).expect("an encoded file is valid");
    let dictionary = Arc::<Dictionary>::default();
    let restored =
        digest::decode_digest(&file, &dictionary, &MembershipCache::default()).expect("an encoded digest is valid");
    assert_eq!((restored.row_count(), restored.hash()), (day.row_count(), day.hash()));
    let read = file.day(&dictionary).expect("an encoded day is valid");
    assert_eq!(read.hash(), day.hash());
}

/// Checks that each row is written as one line of JSON.
fn check_lines(day: &DayTable) {
    let fields: Vec<RowField> = RowField::all().collect();
    let mut writer = RowWriter::new(RowSyntax::Ndjson, &fields);
    let mut text = Vec::new();
    let tables = day.dictionary().read();
    (0..day.row_count()).for_each(|row| writer.push(&mut text, &tables, day, row));
    let rows: Vec<serde_json::Value> =
        serde_json::Deserializer::from_slice(&text).into_iter().collect::<Result<_, _>>().expect("JSON");
    assert_eq!(rows.len(), day.row_count());
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), day.row_count(), "each row is one line");
}
