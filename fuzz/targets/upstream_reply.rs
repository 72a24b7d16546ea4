//! Replies of Feishu: any bytes are a reply, a page of rows, a token, or neither; and a day of whatever rows they hold is
//! archived and read back as it is.
//!
//! The first line of the input is what the reply's head tells: the status and the two hints on the rate limit, with
//! semicolons. All else is its body.

#![no_main]

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use bytes::Bytes;
use feishu_pulse::{
    feishu::{
        decode::{self, DecodedPage, Next},
        throttle::Hints,
        token,
        verdict::{self, Verdict},
    },
    report::digest::{self, Crews},
    source::Upstream,
    table::{
        Counter, Directory, Field, Lines, Origin as _, Partition, PartitionBuilder, Syntax,
        parquet::{self, Opened},
    },
};
use feishu_pulse_fuzz::key;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;

/// The longest text of upstream's that is passed on in a problem or a log, in bytes.
const LONGEST_TOLD: usize = 512;

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (head, body) = input.split_at(at);
    let status = hint(std::str::from_utf8(head).unwrap_or_default());
    if let Some((value, life)) = token::read(body) {
        let value = HeaderValue::from_str(&format!("Bearer {}", value.expose_secret()));
        assert!(value.is_ok_and(|value| value.len() > "Bearer ".len()), "a token that cannot be sent");
        assert!((1..=7200).contains(&life.as_secs()));
    }

    let judged = verdict::judge(status, None, body);
    assert_told(&judged.verdict, &judged.upstream);
    assert_eq!(judged.verdict == Verdict::Success, judged.upstream.code == Some(0), "it is judged by its code");
    if judged.verdict == Verdict::Success {
        let reply = judged.reply.expect("a success is a reply");
        if let Some(page) = decode::reply(&reply, key().geo) {
            follow(&page, body.len());
        }
    }
});

/// Reads the head. Gives the status.
fn hint(head: &str) -> StatusCode {
    let mut parts = head.split(';');
    let status = parts.next().and_then(|status| status.parse().ok());
    let hints = Hints::parse(parts.next(), parts.next());
    assert!(hints.limit.is_none_or(|limit| (1.0..1e9).contains(&limit)));
    assert!(hints.reset.is_none_or(|reset| reset <= Duration::from_secs(120)));
    status.unwrap_or(StatusCode::OK)
}

/// What is passed on of upstream's own words is short, and one line of a log.
fn assert_told(verdict: &Verdict, upstream: &Upstream) {
    let reason = match verdict {
        Verdict::Forbidden(reason) | Verdict::Rejected(reason) | Verdict::Passing(reason) => Some(reason),
        _ => None,
    };
    for told in reason.into_iter().chain(&upstream.log_id) {
        assert!(!told.is_empty() && told.len() <= LONGEST_TOLD, "{} bytes", told.len());
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}

fn follow(page: &DecodedPage, body: usize) {
    assert!(page.rows.len() <= body, "a row takes two bytes at least");
    assert!(page.unreadable <= page.rows.len() * Counter::COUNT);
    if let Next::Token(token) = &page.next {
        assert!(!token.trim().is_empty(), "a token that asks for nothing");
    }
    if page.rows.is_empty() {
        return;
    }
    // As a chain of pages makes a day of them.
    let mut builder = PartitionBuilder::new(key(), Arc::default());
    page.rows.iter().for_each(|(_, row)| builder.push(row));
    let day = builder.finish(Timestamp::UNIX_EPOCH);
    assert!(day.rows() <= page.rows.len() && day.rows() > 0);
    written(&day);

    let file = parquet::encode(&day, &digest::store(&day)).expect("a day is always written");
    let file = Opened::new(Bytes::from(file), &key()).expect("what was written is read");
    let directory = Arc::<Directory>::default();
    let restored = digest::restore(&file, &directory, &Crews::default()).expect("the digest of a day is read");
    assert_eq!((restored.rows(), restored.hash()), (day.rows(), day.hash()));
    let read = file.day(&directory).expect("a day reads back as it was written");
    assert_eq!(read.hash(), day.hash());
}

/// Every row is a line of JSON.
fn written(day: &Partition) {
    let fields: Vec<Field> = Field::all().collect();
    let mut lines = Lines::new(Syntax::Ndjson, &fields);
    let mut text = Vec::new();
    let tables = day.directory().read();
    (0..day.rows()).for_each(|row| lines.push(&mut text, &tables, day, row));
    let rows: Vec<serde_json::Value> =
        serde_json::Deserializer::from_slice(&text).into_iter().collect::<Result<_, _>>().expect("JSON");
    assert_eq!(rows.len(), day.rows());
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), day.rows(), "a row is a line");
}
