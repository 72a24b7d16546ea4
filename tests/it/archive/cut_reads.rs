//! Reads from a bucket that end early. A whole object is read again and is not set aside as damaged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use feishu_pulse::{
    model::{DataScope, DayKey, Geo, ManualClock, UserIdType},
    source::{CallerId, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
    store::{Archive, ArchiveOwner, ArchiveTier, DayCatalog, FreshnessPolicy, archive::StorageFault},
    table::{DayTableBuilder, Row},
};
use object_store::{RetryConfig, aws::AmazonS3Builder};
use rstest::rstest;
use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::support::{NOON, at, day};

const CONTEXT: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
const ROWS: usize = 200;

/// How the transfer of an object ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The connection is closed after half of the announced length.
    Closed,
    /// The connection is reset after half of the announced length.
    Reset,
    /// Half of the object is sent, and the announced length is that half.
    Announced,
}

/// A small S3 server that keeps objects in memory and cuts the next reads of days short.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    cuts: Mutex<Vec<Cut>>,
}

impl Bucket {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let bucket = Arc::clone(&self);
            tokio::spawn(async move { bucket.answer(stream).await });
        }
    }

    /// Answers one request, then closes the connection.
    async fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        while head.last().is_none_or(|line: &String| line != "\r\n") {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            head.push(line);
        }
        let mut request = head[0].split(' ');
        let (method, target) = (request.next()?.to_owned(), request.next()?.to_owned());
        let mut length = head.iter().filter_map(|line| line.split_once(':'));
        let length = length.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut body = vec![0; length.map_or(0, |(_, length)| length.trim().parse().expect("a number"))];
        stream.read_exact(&mut body).await.ok()?;
        let key = target.trim_start_matches("/lake/").to_owned();
        let mut stream = stream.into_inner();
        if method == "PUT" {
            lock(&self.objects).insert(key, body);
            return send(&mut stream, "200 OK", b"", 0).await;
        }
        if target.contains("list-type=2") {
            let listing = self.listing();
            return send(&mut stream, "200 OK", listing.as_bytes(), listing.len()).await;
        }
        let Some(object) = lock(&self.objects).get(&key).cloned() else {
            return send(&mut stream, "404 Not Found", b"", 0).await;
        };
        if method == "HEAD" {
            return send(&mut stream, "200 OK", b"", object.len()).await;
        }
        let cut = key.ends_with(".parquet").then(|| lock(&self.cuts).pop()).flatten();
        let half = &object[..object.len() / 2];
        match cut {
            None => send(&mut stream, "200 OK", &object, object.len()).await,
            Some(Cut::Announced) => send(&mut stream, "200 OK", half, half.len()).await,
            Some(cut) => {
                send(&mut stream, "200 OK", half, object.len()).await?;
                if cut == Cut::Reset {
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
                }
                Some(())
            }
        }
    }

    fn listing(&self) -> String {
        let objects = lock(&self.objects);
        let items = objects.iter().map(|(key, object)| {
            let size = object.len();
            format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-11-22T00:00:00.000Z</LastModified></Contents>"
            )
        });
        format!("<ListBucketResult>{}</ListBucketResult>", items.collect::<String>())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only the answer to a write has an entity tag, so the object store cannot resume a read by itself.
async fn send(stream: &mut TcpStream, status: &str, body: &[u8], length: usize) -> Option<()> {
    let tag = if length == 0 { "etag: \"1\"\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{tag}last-modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    stream.flush().await.ok()
}

/// A source that returns every day, or fails.
struct Upstream {
    is_down: bool,
}

#[async_trait]
impl DaySource for Upstream {
    async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
        if self.is_down {
            return Err(LoadError::Abandoned);
        }
        let mut builder = DayTableBuilder::new(key.clone(), Arc::default());
        for person in 0..ROWS {
            builder.push(&Row { user_id: Some(format!("ou_{person}")), ..Row::default() });
        }
        Ok(LoadedDay::Rows(Arc::new(builder.finish(at(NOON)))))
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
        Forecast::NOTHING
    }
}

/// The archive in the bucket at this address.
fn archive(endpoint: &str) -> Arc<Archive> {
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name("lake")
        .with_region("us-east-1")
        .with_access_key_id("someone")
        .with_secret_access_key("something")
        .with_retry(RetryConfig { max_retries: 2, ..RetryConfig::default() })
        .build()
        .expect("a store");
    let owner = ArchiveOwner { app_id: "cli_a".to_owned(), upstream: "https://feishu.test".to_owned() };
    Arc::new(Archive::new(Arc::new(store), Arc::default(), owner))
}

fn tier(archive: &Arc<Archive>, is_down: bool) -> ArchiveTier<Upstream> {
    let catalog = DayCatalog::new(FreshnessPolicy::default(), Arc::new(ManualClock::at(at(NOON))));
    ArchiveTier::new(Arc::clone(archive), catalog, Upstream { is_down })
}

/// A bucket in which one day is archived, with its address and the key of the day.
async fn bucket_with_a_day() -> (Arc<Bucket>, String, DayKey) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let bucket = Arc::<Bucket>::default();
    tokio::spawn(Arc::clone(&bucket).serve(listener));
    let day = day("2026-11-10");
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
    let before = archive(&endpoint);
    tier(&before, false).load(&key, Depth::Rows, CONTEXT).await.expect("a day");
    before.wait_until_written(&key).await;
    (bucket, endpoint, key)
}

#[rstest]
#[case::closed_once(&[Cut::Closed])]
#[case::closed_twice(&[Cut::Closed, Cut::Closed])]
#[case::reset(&[Cut::Reset])]
#[case::a_shorter_length_is_announced(&[Cut::Announced])]
#[case::a_shorter_length_is_announced_twice(&[Cut::Announced, Cut::Announced])]
#[case::each_in_turn(&[Cut::Announced, Cut::Closed, Cut::Reset])]
#[tokio::test]
async fn a_read_that_is_cut_short_is_repeated(#[case] cuts: &[Cut]) {
    let (bucket, endpoint, key) = bucket_with_a_day().await;
    lock(&bucket.cuts).extend(cuts);

    let restarted = archive(&endpoint);
    let day = tier(&restarted, true).load(&key, Depth::Rows, CONTEXT).await.expect("the archived day");

    let LoadedDay::Rows(day) = day else { panic!("no rows") };
    assert_eq!(day.row_count(), ROWS);
    assert!(lock(&bucket.cuts).is_empty());
    assert_eq!((restarted.health().damaged, restarted.health().fault), (0, None));
    assert!(lock(&bucket.objects).keys().all(|name| !name.contains("damaged")));
}

#[tokio::test]
async fn a_file_that_is_always_cut_short_is_not_set_aside() {
    let (bucket, endpoint, key) = bucket_with_a_day().await;
    lock(&bucket.cuts).extend([Cut::Announced; 100]);

    let restarted = archive(&endpoint);
    let day = tier(&restarted, false).load(&key, Depth::Rows, CONTEXT).await;

    assert!(day.is_ok(), "the day comes from Feishu");
    assert!(lock(&bucket.cuts).len() >= 90, "the reads are bounded");
    assert_eq!(restarted.health().damaged, 0);
    assert_eq!(restarted.health().fault, Some(StorageFault::Incomplete));
    assert!(lock(&bucket.objects).keys().all(|name| !name.contains("damaged")));
}
