//! The order in which days are loaded is invisible: whatever was asked before, after restarts and after evictions, a URL
//! has the same bytes and the same `ETag`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use feishu_pulse::store::ArchiveLocation;
use reqwest::header;

use super::{
    callers::{Caller, Keys},
    for_random_seeds,
    gateway::{Gateway, run},
    oracle::Range,
    questions::{Question, Report},
    tenant::Tenant,
    upstream::Upstream,
};

/// Time without `PULSE_DIFFERENTIAL_SECONDS`.
const TIME: Duration = Duration::from_secs(8);

/// URLs that are compared for each tenant.
const QUESTIONS: usize = 20;

/// Other requests of each gateway, which load days in an order of their own.
const OTHER_REQUESTS: usize = 8;

/// A cache for a few days.
const TINY_CACHE_BYTES: u64 = 40 << 10;

/// One life of a gateway.
#[derive(Clone, Copy, Debug)]
struct Life {
    has_archive: bool,
    has_tiny_cache: bool,
}

/// The second life with an archive fills it, later ones begin with what is in it.
const LIVES: [Life; 5] = [
    Life { has_archive: false, has_tiny_cache: false },
    Life { has_archive: true, has_tiny_cache: false },
    Life { has_archive: true, has_tiny_cache: false },
    Life { has_archive: false, has_tiny_cache: true },
    Life { has_archive: true, has_tiny_cache: true },
];

type Request = (Caller, String);

/// Everything that must not depend on the order of loading.
#[derive(Clone, Debug)]
struct Version {
    status: u16,
    etag: String,
    body: Vec<u8>,
}

/// One test: the requests and the versions that are known so far.
struct Comparison {
    seed: u64,
    rng: Rng,
    tenant: Arc<Tenant>,
    keys: Keys,
    requests: Vec<Request>,
    known: BTreeMap<Request, Version>,
}

impl Comparison {
    fn new(seed: u64) -> Self {
        let (mut rng, tenant) = (Rng::with_seed(seed), Arc::new(Tenant::random(seed)));
        let paths = tenant.paths(Range { first: tenant.first, last: tenant.last }, &tenant.geos);
        let paths: Vec<String> = paths.into_iter().filter(|path| !path.is_empty()).collect();
        let keys = Keys::new(&[paths[rng.usize(..paths.len())].clone()]);
        let mut comparison = Self { seed, rng, tenant, keys, requests: Vec::new(), known: BTreeMap::new() };
        comparison.requests = (0..QUESTIONS).map(|_| comparison.random_request()).collect();
        comparison
    }

    fn random_request(&mut self) -> Request {
        let rng = &mut self.rng;
        let question = Question::random(rng, &self.tenant);
        let caller = Caller::ALL[rng.usize(..Caller::ALL.len())];
        let mut format = ["json", "csv", "ndjson", "parquet"][rng.usize(..4)];
        if matches!(question.report, Report::Departments(question) if question.is_tree) {
            format = "json";
        }
        let mut url = question.url();
        if rng.u8(..8) == 0 {
            url = format!("/v1/user-days?{}", question.selection_query());
        }
        (caller, format!("{url}&format={format}"))
    }

    /// Sends all requests in a random order, among others, and compares the answers with those of earlier lives.
    async fn request_all(&mut self, gateway: &Gateway) {
        let mut requests = self.requests.clone();
        requests.extend((0..OTHER_REQUESTS).map(|_| self.random_request()));
        self.rng.shuffle(&mut requests);
        for (caller, url) in requests {
            let found = version(gateway, self.keys.secret(caller), &url).await;
            let expected = self.known.entry((caller, url.clone())).or_insert_with(|| found.clone());
            let place = format!("PULSE_DIFFERENTIAL_SEED={}: {caller:?}, {url}", self.seed);
            let text =
                |version: &Version| String::from_utf8_lossy(&version.body).chars().take(3000).collect::<String>();
            assert!(expected.body == found.body, "{place}\n{}\n{}", text(expected), text(&found));
            assert_eq!((expected.status, &expected.etag), (found.status, &found.etag), "{place}");
        }
    }
}

async fn version(gateway: &Gateway, secret: &str, url: &str) -> Version {
    let request = gateway.request(url).bearer_auth(secret).header(header::ACCEPT_ENCODING, "identity");
    let response = request.send().await.expect("an answer");
    let etag = response.headers().get(header::ETAG).map_or("", |etag| etag.to_str().expect("text")).to_owned();
    let status = response.status().as_u16();
    // A problem contains the id of its request.
    let body = if status == 200 { response.bytes().await.expect("a whole body").to_vec() } else { Vec::new() };
    Version { status, etag, body }
}

#[test]
fn a_url_has_the_same_bytes_and_etag_in_any_order_of_loading() {
    for_random_seeds(TIME, |seed| {
        let mut comparison = Comparison::new(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let archive = ArchiveLocation::Folder(folder.path().join("archive"));
        for life in LIVES {
            run(async {
                let upstream = Upstream::start(Arc::clone(&comparison.tenant)).await;
                let gateway = Gateway::start(&comparison.tenant, &upstream, |config| {
                    comparison.keys.configure(config, folder.path());
                    if life.has_archive {
                        config.archive = archive.clone();
                    }
                    if life.has_tiny_cache {
                        config.cache_bytes = TINY_CACHE_BYTES;
                    }
                });
                let gateway = gateway.await;
                comparison.request_all(&gateway).await;
            });
        }
    });
}
