//! Fuzzes paths and query strings: each request must succeed or be rejected with a list of all faults.
//!
//! The input is a request line, such as `GET /v1/users?period=7d`. It is sent to the real service. The data source below
//! has small days from November 2026 on and rejects earlier days.

#![no_main]

use std::{
    convert::Infallible,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Method, Request, StatusCode, Uri, header},
};
use feishu_pulse::{
    access::{AccessConfig, Authenticator},
    api::{self, AccessTokens, ApiConfig, ApiParts, ApiState, drop_in::access_token::TokenSubject},
    feishu::quota::{MonthlyQuota, QuotaConfig},
    model::{Clock, Day, DayKey, Geo, ManualClock},
    query::{BackfillJobs, Backfiller, QueryEngine, ViewEngines},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, UpstreamDetail},
    store::{FreshnessPolicy, Memory},
    table::{DayTableBuilder, Dictionary, Row},
};
use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

/// Noon of 2026-11-22 in China.
const NOW: i64 = 1_795_320_000;

/// Maximum number of days that one request may load: the longest range and the trailing window before it, in each geo.
const MAX_DAYS: usize = (3660 + 60) * Geo::ALL.len();

/// Maximum size of a problem document, in bytes.
const MAX_PROBLEM_BYTES: usize = 128 << 10;

/// Feishu's error code for an invalid parameter.
const INVALID_PARAMETER: u32 = 1_051_001;

/// Maximum number of faults in one problem document.
const MAX_FAULTS: usize = 50;

static ASYNC: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
static SERVICE: LazyLock<Service> = LazyLock::new(|| ASYNC.block_on(async { Service::new() }));

/// A source of days with three people, from 2026-11-01 on. Earlier days are rejected.
#[derive(Debug, Default)]
struct Days {
    dictionary: Arc<Dictionary>,
    loads: AtomicUsize,
}

struct Service {
    api: BoxCloneSyncService<Request<Body>, axum::response::Response, Infallible>,
    days: Arc<Days>,
    token: String,
}

struct Response {
    status: StatusCode,
    body: Bytes,
}

#[async_trait]
impl DaySource for Days {
    async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        if key.day < Day::new(2026, 11, 1).unwrap() {
            return Err(LoadError::Rejected {
                upstream: UpstreamDetail::default(),
                reason: "there is no data of this day".into(),
            });
        }
        let mut builder = DayTableBuilder::new(key.clone(), Arc::clone(&self.dictionary));
        for id in ["ou_1", "ou_2", "ou_3"] {
            builder.push(&Row { user_id: Some(id.to_owned()), ..Row::default() });
        }
        Ok(LoadedDay::Rows(Arc::new(builder.finish(Timestamp::from_second(NOW).unwrap()))))
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
        Forecast::NOTHING
    }
}

impl Service {
    fn new() -> Self {
        let now = Timestamp::from_second(NOW).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let days = Arc::<Days>::default();
        let memory = Arc::new(Memory::new(64 << 20, FreshnessPolicy::default(), Arc::clone(&clock)));
        let engine = QueryEngine::new(days.clone(), memory.catalog().clone(), 1 << 20);
        let authenticator = Arc::new(Authenticator::new(&AccessConfig::default()).unwrap());
        let access_tokens = AccessTokens::new(&"secret".into());
        let token = access_tokens.issue(&TokenSubject("anyone".into()), now);
        let parts = ApiParts {
            backfills: BackfillJobs::new(Backfiller::new(engine.clone(), None, Arc::new(|| 0))),
            fleet: None,
            views: ViewEngines::new(engine, memory, None),
            archive: None,
            quota: Arc::new(MonthlyQuota::new(QuotaConfig::default(), Arc::clone(&clock))),
            authenticator,
            access_tokens,
            clock,
            collectors: Vec::new(),
        };
        let config = ApiConfig { response_cache_bytes: 8 << 20, ..ApiConfig::new(Geo::ALL.into()) };
        let api = BoxCloneSyncService::new(api::service(&ApiState::new(parts, config).unwrap()));
        Self { api, days, token }
    }

    fn send(&self, method: &Method, uri: &Uri) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Body::empty())
            .unwrap();
        ASYNC.block_on(async {
            let response = self.api.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 64 << 20).await.expect("a complete body");
            Response { status: head.status, body }
        })
    }
}

fuzz_target!(|line: &str| -> Corpus {
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    // hyper rejects other inputs before they reach the router.
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return Corpus::Reject };
    if uri.authority().is_some() || !uri.path().starts_with('/') {
        return Corpus::Reject;
    }
    let service = &*SERVICE;
    service.days.loads.store(0, Ordering::Relaxed);
    let response = service.send(&method, &uri);
    assert!(!response.is_defect(), "{}", response.text());
    assert!(service.days.loads.load(Ordering::Relaxed) <= MAX_DAYS, "a request loads too many days");
    if method == Method::HEAD {
        return Corpus::Keep;
    }
    // The gateway also accepts `//open-apis/…` and answers in Feishu's own form.
    let is_drop_in = uri.path().trim_start_matches('/').starts_with("open-apis/");
    if response.status.is_client_error() && !is_drop_in {
        response.assert_is_problem();
    }
    if response.status == StatusCode::OK && method == Method::GET && uri.path().starts_with("/v1/u") {
        check_repeat_and_next_page(service, &uri, &response);
    }
    Corpus::Keep
});

/// Checks that the same request gives the same response again, and that the next page, if there is one, can be
/// requested.
fn check_repeat_and_next_page(service: &Service, uri: &Uri, response: &Response) {
    let repeated = service.send(&Method::GET, uri);
    assert!(
        repeated.status == StatusCode::OK && repeated.body == response.body,
        "{}\n{}",
        response.text(),
        repeated.text()
    );
    let Ok(Value::Object(document)) = serde_json::from_slice(&response.body) else { return };
    let Some(cursor) = document.get("meta").and_then(|meta| meta.get("next_cursor")?.as_str()) else { return };
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("cursor="));
    let query = pairs.collect::<Vec<_>>().join("&");
    let next: Uri = format!("{}?{query}&cursor={cursor}", uri.path()).parse().expect("a valid URI of the next page");
    let next = service.send(&Method::GET, &next);
    assert_eq!(next.status, StatusCode::OK, "{uri} then {}", next.text());
    assert_ne!(next.body, response.body, "the next page equals this page");
}

impl Response {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether a handler failed. Feishu also uses the status 500 for invalid parameters, and so does the drop-in.
    fn is_defect(&self) -> bool {
        let code = || serde_json::from_slice::<Value>(&self.body).map(|failure| failure["code"].clone());
        self.status == StatusCode::INTERNAL_SERVER_ERROR && code().ok() != Some(INVALID_PARAMETER.into())
    }

    fn assert_is_problem(&self) {
        assert!(self.body.len() <= MAX_PROBLEM_BYTES, "a problem document of {} bytes", self.body.len());
        let problem: Value = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        if problem["code"] == "invalid_parameters" {
            let faults = problem["errors"].as_array().expect("a list of faults");
            assert!((1..=MAX_FAULTS).contains(&faults.len()));
            for fault in faults {
                assert!(fault["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{fault}");
            }
        }
    }
}
