//! Requests: whatever a caller writes into path and query is answered, or refused with every fault named.
//!
//! The input is a request line, such as `GET /v1/users?period=7d`. It goes to the real router, whose handlers find a month
//! of small days below them and nothing before.

#![no_main]

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Method, Request, StatusCode, Uri, header},
};
use feishu_pulse::{
    access::{AccessConfig, Gatekeeper},
    api::{self, AccessTokens, ApiState, Bounds, Front, MetricsPlace, compat::access_token::Holder, work::Desks},
    feishu::quota::{Quota, QuotaConfig},
    meter::Meters,
    model::{Clock, Day, DayKey, Geo, ManualClock},
    query::{Backfills, Engine, Filler, Views},
    source::{DaySource, Forecast, LoadContext, LoadError, Upstream},
    store::{Memory, Policy},
    table::{Directory, Partition, PartitionBuilder, Row},
};
use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// Noon of 2026-11-22 in China.
const NOW: i64 = 1_795_320_000;

/// The longest range, with what trailing figures look back over, in each geo.
const MOST_DAYS: usize = (3660 + 60) * Geo::ALL.len();

/// Bytes of a refusal: whoever sends noise is not to be sent more of it.
const LONGEST_REFUSAL: usize = 128 << 10;

/// Upstream's code for a parameter that it does not take.
const INVALID_PARAMETER: u32 = 1_051_001;

/// Faults that one answer names.
const MOST_FAULTS: usize = 50;

static ASYNC: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
static SERVICE: LazyLock<Service> = LazyLock::new(|| ASYNC.block_on(async { Service::new() }));

/// Days of a few people in November 2026. Upstream knows nothing of any other.
#[derive(Debug, Default)]
struct Days {
    directory: Arc<Directory>,
    asked: AtomicUsize,
}

struct Service {
    router: Router,
    days: Arc<Days>,
    token: String,
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

#[async_trait]
impl DaySource for Days {
    async fn load(&self, key: &DayKey, _: LoadContext) -> Result<Arc<Partition>, LoadError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if key.day < Day::new(2026, 11, 1).unwrap() {
            return Err(LoadError::Rejected { upstream: Upstream::default(), reason: "nothing is known of it".into() });
        }
        let mut builder = PartitionBuilder::new(key.clone(), Arc::clone(&self.directory));
        for id in ["ou_1", "ou_2", "ou_3"] {
            builder.push(&Row { user_id: Some(id.to_owned()), ..Row::default() });
        }
        Ok(Arc::new(builder.finish(Timestamp::from_second(NOW).unwrap())))
    }

    async fn forecast(&self, _: &[DayKey]) -> Forecast {
        Forecast::NOTHING
    }
}

impl Service {
    fn new() -> Self {
        let now = Timestamp::from_second(NOW).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let days = Arc::<Days>::default();
        let memory = Arc::new(Memory::new(64 << 20, Policy::default(), Arc::clone(&clock)));
        let engine = Engine::new(days.clone(), memory, Arc::clone(&clock));
        let gatekeeper = Arc::new(Gatekeeper::new(&AccessConfig::default()).unwrap());
        let access_tokens = AccessTokens::new(&"secret".into());
        let token = access_tokens.issue(&Holder("anyone".into()), now);
        let traffic = Arc::default();
        let state = ApiState {
            front: Arc::new(Front::new(8 << 20, engine.clone(), Arc::clone(&traffic), gatekeeper.clone())),
            backfills: Backfills::new(Filler::new(engine.clone(), None, Arc::new(|| 0))),
            views: Views::new(engine, None),
            quota: Arc::new(Quota::new(QuotaConfig::default(), clock)),
            archive: None,
            geos: Geo::ALL.into(),
            gatekeeper,
            access_tokens,
            drop_in_extended: false,
            least_group: None,
            cors: None,
            request_timeout: Duration::from_secs(60),
            meters: Meters::new([]),
            traffic,
            log_filter: None,
            desks: Desks::open().unwrap(),
            draining: Arc::new(AtomicBool::new(false)),
        };
        let router = api::router(state, MetricsPlace::Here, Bounds::new(8, Duration::from_secs(60)));
        Self { router, days, token }
    }

    fn ask(&self, method: &Method, uri: &Uri) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Body::empty())
            .unwrap();
        ASYNC.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 64 << 20).await.expect("an answer that does not break off");
            Answer { status: head.status, body }
        })
    }
}

fuzz_target!(|line: &str| -> Corpus {
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    // What hyper itself refuses gets no further.
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return Corpus::Reject };
    if uri.authority().is_some() || !uri.path().starts_with('/') {
        return Corpus::Reject;
    }
    let service = &*SERVICE;
    service.days.asked.store(0, Ordering::Relaxed);
    let answer = service.ask(&method, &uri);
    assert!(!answer.is_defect(), "{}", answer.text());
    assert!(service.days.asked.load(Ordering::Relaxed) <= MOST_DAYS, "no question is about more days");
    if method == Method::HEAD {
        return Corpus::Keep;
    }
    if answer.status.is_client_error() && !uri.path().starts_with("/open-apis/") {
        answer.assert_refusal();
    }
    if answer.status == StatusCode::OK && method == Method::GET && uri.path().starts_with("/v1/u") {
        follow(service, &uri, &answer);
    }
    Corpus::Keep
});

/// A question that was answered is answered alike when it is asked again, and where there is a next page, that too.
fn follow(service: &Service, uri: &Uri, answer: &Answer) {
    let again = service.ask(&Method::GET, uri);
    assert!(again.status == StatusCode::OK && again.body == answer.body, "{}\n{}", answer.text(), again.text());
    let Ok(Value::Object(document)) = serde_json::from_slice(&answer.body) else { return };
    let Some(cursor) = document.get("meta").and_then(|meta| meta.get("next_cursor")?.as_str()) else { return };
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("cursor="));
    let query = pairs.collect::<Vec<_>>().join("&");
    let next: Uri = format!("{}?{query}&cursor={cursor}", uri.path()).parse().expect("the address of the next page");
    let next = service.ask(&Method::GET, &next);
    assert_eq!(next.status, StatusCode::OK, "{uri} then {}", next.text());
    assert_ne!(next.body, answer.body, "a page after itself");
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether a handler broke down. Upstream has the status for parameters that it does not take too, and so has the drop-in.
    fn is_defect(&self) -> bool {
        let code = || serde_json::from_slice::<Value>(&self.body).map(|failure| failure["code"].clone());
        self.status == StatusCode::INTERNAL_SERVER_ERROR && code().ok() != Some(INVALID_PARAMETER.into())
    }

    fn assert_refusal(&self) {
        assert!(self.body.len() <= LONGEST_REFUSAL, "{} bytes of refusal", self.body.len());
        let problem: Value = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        if problem["code"] == "invalid_parameters" {
            let faults = problem["errors"].as_array().expect("every fault");
            assert!((1..=MOST_FAULTS).contains(&faults.len()));
            for fault in faults {
                assert!(fault["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{fault}");
            }
        }
    }
}
