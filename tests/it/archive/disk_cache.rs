//! The disk cache of an archive in a bucket, and which parts of files are read from the bucket.

use std::{
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use feishu_pulse::{
    model::{DataScope, DayKey, Geo, ManualClock, UserIdType},
    prometheus::{Collector as _, Exposition},
    report::DayDigest,
    source::{CallerId, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
    store::{
        Archive, ArchiveLocation, ArchiveOwner, ArchiveTier, DayCatalog, DiskCache, DiskCacheConfig, FreshnessPolicy,
    },
    table::{DayMetadata as _, DayTable, DayTableBuilder, Department, Row},
};
use object_store::ObjectStore;
use rstest::rstest;
use tempfile::TempDir;

use super::recorded_store::RecordedStore;
use crate::support::{NOON, at, captured_log::CapturedLog, day};

const CONTEXT: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
const DAYS: u8 = 10;

/// A limit that no test reaches.
const ENOUGH: u64 = 1 << 30;

/// A Feishu with days of some people, which counts its answers. `revision` is part of the rows.
struct Upstream {
    people: u32,
    revision: u32,
    /// The first person is in another department every day.
    one_moves: bool,
    loads: AtomicUsize,
}

#[async_trait]
impl DaySource for Upstream {
    async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Ok(LoadedDay::Rows(Arc::new(self.rows(key))))
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
        Forecast::NOTHING
    }
}

impl Upstream {
    fn rows(&self, key: &DayKey) -> DayTable {
        let mut builder = DayTableBuilder::new(key.clone(), Arc::default());
        let today: u32 = key.day.to_string()[8..].parse().expect("a day of a month");
        for person in 0..self.people {
            let group = if self.one_moves && person == 0 { today % 4 } else { person % 4 };
            let department = Department { name: "甲".into(), path: format!("总部/组{group}").into() };
            // An id whose digits do not compress.
            let id = u128::from(person).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            let user_name = format!("员工{person} {}", self.revision);
            let row = Row { user_id: Some(format!("ou_{id:032x}")), user_name, department, ..Row::default() };
            builder.push(&row);
        }
        builder.finish(at(NOON))
    }
}

/// A gateway's archive in the bucket.
struct Gateway {
    archive: Arc<Archive>,
    tier: ArchiveTier<Arc<Upstream>>,
    upstream: Arc<Upstream>,
}

impl Gateway {
    fn new(bucket: &Arc<RecordedStore>, cache: Option<DiskCache>, people: u32, revision: u32) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::clone(bucket) as _;
        let archive = Archive::with_disk_cache(store, Arc::default(), owner("cli_a"), cache);
        Self::with_archive(archive, Upstream { people, revision, one_moves: false, loads: AtomicUsize::new(0) })
    }

    fn with_archive(archive: Archive, upstream: Upstream) -> Self {
        let archive = Arc::new(archive);
        let catalog = DayCatalog::new(FreshnessPolicy::default(), Arc::new(ManualClock::at(at(NOON))));
        let upstream = Arc::new(upstream);
        let tier = ArchiveTier::new(Arc::clone(&archive), catalog, Arc::clone(&upstream));
        Self { archive, tier, upstream }
    }

    /// The rows of a day, with the number of days that were fetched from upstream until then.
    async fn rows(&self, key: &DayKey) -> Arc<DayTable> {
        match self.tier.load(key, Depth::Rows, CONTEXT).await.expect("a day") {
            LoadedDay::Rows(rows) => rows,
            LoadedDay::Digest(_) => panic!("a digest instead of rows"),
        }
    }

    /// The digest of a day, as a report loads it.
    async fn digest(&self, key: &DayKey) -> Option<Arc<DayDigest>> {
        match self.tier.stored(std::slice::from_ref(key), Depth::Digest).await.pop().flatten()? {
            LoadedDay::Digest(digest) => Some(digest),
            LoadedDay::Rows(_) => panic!("rows instead of a digest"),
        }
    }

    /// Loads the first days and writes those that are new.
    async fn load_days(&self, days: u8) {
        for of_month in 1..=days {
            self.rows(&key(of_month)).await;
        }
        self.archive.flush(Duration::from_secs(30)).await;
    }

    fn loads(&self) -> usize {
        self.upstream.loads.load(Ordering::Relaxed)
    }

    fn metric(&self, name: &str) -> u64 {
        let mut page = Exposition::default();
        self.archive.collect(&mut page);
        let page = page.into_text();
        let value = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {page}"));
        value.trim().parse().expect("a number")
    }
}

fn owner(app_id: &str) -> ArchiveOwner {
    ArchiveOwner { app_id: app_id.to_owned(), upstream: "https://feishu.test".to_owned() }
}

fn open_for(app_id: &str, folder: &Path, max_bytes: u64) -> DiskCache {
    let config = DiskCacheConfig { folder: folder.to_owned(), max_bytes };
    DiskCache::open(config, "s3://lake".to_owned(), owner(app_id)).expect("a folder for a cache")
}

fn open(folder: &TempDir) -> DiskCache {
    open_for("cli_a", &folder.path().join("cache"), ENOUGH)
}

fn key(of_month: u8) -> DayKey {
    let day = day(&format!("2026-10-{of_month:02}"));
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
}

/// All files and folders below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.flat_map(|entry| [vec![entry.path()], below(&entry.path())].concat()).collect()
}

/// The cached files of a day.
fn cached_files(folder: &TempDir, of_month: u8) -> Vec<PathBuf> {
    let date = format!("date=2026-10-{of_month:02}");
    below(folder.path()).into_iter().filter(|path| path.is_file() && path.to_string_lossy().contains(&date)).collect()
}

/// A bucket with the first days, and the folder of the cache of the gateway that wrote them.
async fn filled(people: u32) -> (Arc<RecordedStore>, TempDir) {
    let (bucket, folder) = (Arc::new(RecordedStore::new()), tempfile::tempdir().expect("a folder"));
    Gateway::new(&bucket, Some(open(&folder)), people, 1).load_days(DAYS).await;
    bucket.take_reads();
    (bucket, folder)
}

#[rstest]
#[case::small_files(200)]
#[case::large_files(16_000)]
#[tokio::test]
async fn a_restart_reads_no_file_from_the_bucket_that_was_read_or_written_before(#[case] people: u32) {
    let (bucket, folder) = filled(people).await;
    let other_folder = tempfile::tempdir().expect("a folder");

    let restarted = Gateway::new(&bucket, Some(open(&folder)), people, 1);
    for of_month in 1..=DAYS {
        assert!(restarted.digest(&key(of_month)).await.is_some());
        restarted.rows(&key(of_month)).await;
    }
    let after_writing = bucket.take_reads();
    let reader = Gateway::new(&bucket, Some(open(&other_folder)), people, 1);
    reader.load_days(DAYS).await;
    let first = bucket.take_reads();
    drop(reader);
    let restarted_reader = Gateway::new(&bucket, Some(open(&other_folder)), people, 1);
    let expected = restarted_reader.upstream.rows(&key(3));
    let rows = restarted_reader.rows(&key(3)).await;
    restarted_reader.load_days(DAYS).await;

    assert_eq!(after_writing, []);
    assert_eq!(first.len(), usize::from(DAYS));
    assert_eq!(bucket.take_reads(), []);
    assert_eq!((restarted.loads(), restarted_reader.loads()), (0, 0));
    assert_eq!((rows.hash(), rows.row_count()), (expected.hash(), expected.row_count()));
    assert_eq!(restarted.metric("feishu_pulse_archive_read_bytes_total"), 0);
    assert_eq!(restarted.metric("feishu_pulse_archive_cache_lookups_total{result=\"miss\"}"), 0);
}

#[tokio::test]
async fn a_report_reads_the_digest_alone_and_people_only_if_departments_have_new_members() {
    const PEOPLE: u32 = 16_000;
    let (bucket, _folder) = filled(PEOPLE).await;
    let whole = {
        let gateway = Gateway::new(&bucket, None, PEOPLE, 1);
        gateway.rows(&key(1)).await;
        bucket.take_read_bytes()
    };
    let gateway = Gateway::new(&bucket, None, PEOPLE, 1);

    let first = gateway.digest(&key(1)).await.expect("a digest");
    let with_people = bucket.take_reads();
    gateway.digest(&key(2)).await.expect("a digest");
    let without_people = bucket.take_reads();

    let expected = gateway.upstream.rows(&key(1));
    assert_eq!((first.hash(), first.row_count()), (expected.hash(), PEOPLE as usize));
    // Nobody has an activation time, so that column is within the end of the file.
    assert_eq!((with_people.len(), without_people.len()), (2, 1), "{with_people:?} {without_people:?}");
    let length =
        |reads: &[(String, Range<u64>)]| -> u64 { reads.iter().map(|(_, range)| range.end - range.start).sum() };
    assert_eq!(length(&without_people), 64 << 10);
    assert!(length(&with_people) < whole, "{with_people:?} of {whole}");
    assert_eq!(gateway.metric("feishu_pulse_archive_reads_total{read=\"rows\"}"), 0);
    assert_eq!(gateway.metric("feishu_pulse_archive_read_bytes_total"), length(&with_people) + length(&without_people));
}

#[tokio::test]
async fn only_the_people_of_departments_with_new_members_are_read_from_a_folder() {
    const PEOPLE: u32 = 16_000;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = || {
        let location = ArchiveLocation::Folder(folder.path().to_owned());
        let store = location.open().expect("a usable folder").expect("a store");
        let archive = Archive::with_disk_cache(store, Arc::default(), owner("cli_a"), None);
        let upstream = Upstream { people: PEOPLE, revision: 1, one_moves: true, loads: AtomicUsize::new(0) };
        Gateway::with_archive(archive.in_folder(Some(folder.path().to_owned())), upstream)
    };
    gateway().load_days(2).await;
    let restarted = gateway();
    let mut bytes = Vec::new();

    let mut found = Vec::new();
    for of_month in 1..=2 {
        found.push(restarted.digest(&key(of_month)).await.expect("a digest"));
        bytes.push(restarted.metric("feishu_pulse_archive_read_bytes_total"));
    }

    for (of_month, digest) in (1..).zip(&found) {
        let expected = DayDigest::from_day(&restarted.upstream.rows(&key(of_month)), None);
        let members = |digest: &DayDigest| {
            let mut numbers: Vec<usize> = digest.departments().iter().map(|own| own.members.len()).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!((digest.hash(), members(digest)), (expected.hash(), members(&expected)));
    }
    // Two of four departments have other members on the second day.
    let (first, second) = (bytes[0] - (64 << 10), bytes[1] - bytes[0] - (64 << 10));
    assert!(second > first * 4 / 10 && second < first * 6 / 10, "{first} and {second} bytes");
    assert_eq!(restarted.metric("feishu_pulse_archive_reads_total{read=\"rows\"}"), 0);
}

#[tokio::test]
async fn a_report_over_many_days_reads_the_same_people_once() {
    let (bucket, _folder) = filled(16_000).await;
    let gateway = Gateway::new(&bucket, None, 16_000, 1);
    let keys: Vec<DayKey> = (1..=DAYS).map(key).collect();

    let found = gateway.tier.stored(&keys, Depth::Digest).await;

    assert!(found.iter().all(Option::is_some));
    assert_eq!(bucket.take_reads().len(), usize::from(DAYS) + 1);
}

#[tokio::test]
async fn a_report_after_a_restart_reads_the_same_parts_from_the_cache() {
    let (bucket, _) = filled(16_000).await;
    let folder = tempfile::tempdir().expect("a folder");
    let digests = async || {
        let gateway = Gateway::new(&bucket, Some(open(&folder)), 16_000, 1);
        // As long as one day is in memory, its dictionary is, and with it the members of departments.
        let mut held = Vec::new();
        for of_month in 1..=DAYS {
            held.push(gateway.digest(&key(of_month)).await.expect("a digest"));
        }
        gateway.archive.metadata_of_range(Geo::Cn, UserIdType::OpenId, feishu_pulse::model::DayRange::ALL).await;
        bucket.take_reads()
    };

    let (first, second) = (digests().await, digests().await);

    assert_eq!((first.len(), second.len()), (usize::from(DAYS) + 1, 0), "{first:?} {second:?}");
}

#[tokio::test]
async fn the_least_recently_used_days_are_deleted_above_the_limit() {
    let bucket = Arc::new(RecordedStore::new());
    Gateway::new(&bucket, None, 200, 1).load_days(DAYS).await;
    let size = {
        Gateway::new(&bucket, None, 200, 1).rows(&key(1)).await;
        bucket.take_read_bytes()
    };
    let (folder, limit) = (tempfile::tempdir().expect("a folder"), 4 * size);
    let path = folder.path().join("cache");
    let used = || {
        let files = below(&path).into_iter().filter(|path| path.is_file() && !path.ends_with("owner.json"));
        files.map(|path| path.metadata().expect("a file").len()).sum::<u64>()
    };
    let gateway = Gateway::new(&bucket, Some(open_for("cli_a", &path, limit)), 200, 1);

    // Files in the folder are a few bytes larger, so three of them fit.
    for of_month in [1, 2, 3, 1, 4] {
        gateway.rows(&key(of_month)).await;
        assert!(used() <= limit, "{} of {limit}", used());
    }
    let kept = (1..=4).filter(|of_month| !cached_files(&folder, *of_month).is_empty()).collect::<Vec<_>>();
    assert_eq!(gateway.metric("feishu_pulse_archive_cache_bytes"), used());
    drop(gateway);
    let restarted = Gateway::new(&bucket, Some(open_for("cli_a", &path, limit)), 200, 1);
    restarted.rows(&key(1)).await;
    restarted.rows(&key(5)).await;
    let kept_later = (1..=5).filter(|of_month| !cached_files(&folder, *of_month).is_empty()).collect::<Vec<_>>();
    drop(restarted);
    let _smaller = open_for("cli_a", &path, size + size / 2);

    assert_eq!((kept, kept_later), (vec![1, 3, 4], vec![1, 4, 5]));
    assert!(used() <= size + size / 2 && used() >= size);
}

/// Damage of the cached file of the 3rd, given that of the 4th.
type Damage = fn(&mut Vec<u8>, &[u8]);

#[rstest]
#[case::truncated(|file: &mut Vec<u8>, _: &[u8]| file.truncate(file.len() / 2))]
#[case::empty(|file: &mut Vec<u8>, _: &[u8]| file.clear())]
#[case::flipped_at_the_end(|file: &mut Vec<u8>, _: &[u8]| *file.last_mut().expect("bytes") ^= 1)]
#[case::flipped_in_the_middle(|file: &mut Vec<u8>, _: &[u8]| { let middle = file.len() / 2; file[middle] ^= 1; })]
#[case::flipped_at_the_start(|file: &mut Vec<u8>, _: &[u8]| file[20] ^= 1)]
#[case::of_another_day(|file: &mut Vec<u8>, other: &[u8]| *file = other.to_vec())]
#[case::of_another_program(|file: &mut Vec<u8>, _: &[u8]| *file = b"PAR1 something else".to_vec())]
#[tokio::test]
async fn a_damaged_file_is_deleted_and_read_from_the_bucket_again(
    #[case] damage: Damage,
    #[values(Depth::Rows, Depth::Digest)] depth: Depth,
) {
    let (bucket, folder) = filled(200).await;
    let [path, other] = [3, 4].map(|of_month| cached_files(&folder, of_month).pop().expect("a cached file"));
    let mut file = fs::read(&path).expect("a file");
    damage(&mut file, &fs::read(other).expect("a file"));
    fs::write(&path, file).expect("a writable file");
    let gateway = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    let expected = gateway.upstream.rows(&key(3));

    let found = gateway.tier.load(&key(3), depth, CONTEXT).await.expect("a day");
    let first = bucket.take_reads().len();
    let again = gateway.tier.load(&key(3), depth, CONTEXT).await.expect("a day");

    assert_eq!((found.hash(), again.hash()), (expected.hash(), expected.hash()));
    assert_eq!((first, bucket.take_reads().len(), gateway.loads()), (1, 0, 0));
    assert_eq!(gateway.archive.health().damaged, 0, "the file of the bucket is sound");
    assert_eq!(gateway.metric("feishu_pulse_archive_cache_damaged_files_total"), 1);
}

#[tokio::test]
async fn files_of_others_among_the_days_are_deleted_at_the_start() {
    let (bucket, folder) = filled(200).await;
    let cached = cached_files(&folder, 3).pop().expect("a cached file");
    let day = cached.parent().expect("a folder");
    let strange =
        [day.join("notes"), day.parent().expect("a folder").join("x"), folder.path().join("cache/_staging/1")];
    for path in &strange {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, "x").expect("a file");
    }

    let gateway = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    gateway.rows(&key(3)).await;

    assert!(strange.iter().all(|path| !path.exists()), "{:?}", below(folder.path()));
    assert_eq!(bucket.take_reads(), []);
}

#[tokio::test]
async fn a_deleted_day_leaves_the_cache_at_once() {
    let (bucket, folder) = filled(200).await;
    let gateway = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    for of_month in [3, 4] {
        gateway.digest(&key(of_month)).await.expect("a digest");
        assert_eq!(cached_files(&folder, of_month).len(), 1);
    }

    gateway.archive.remove(&[key(3)]).await.expect("a deletion");
    let after_own_deletion = (cached_files(&folder, 3), gateway.digest(&key(3)).await.is_some());
    // Another replica deletes a day and says so.
    let other = Gateway::new(&bucket, None, 200, 1);
    other.archive.remove(&[key(4)]).await.expect("a deletion");
    gateway.archive.apply_deletion(&key(4)).await;
    let after_other_deletion = (cached_files(&folder, 4), gateway.digest(&key(4)).await.is_some());

    assert_eq!((after_own_deletion, after_other_deletion), ((vec![], false), (vec![], false)));
    gateway.rows(&key(4)).await;
    assert_eq!(gateway.loads(), 1, "the day is fetched again");
}

#[tokio::test]
async fn a_read_during_the_deletion_of_its_day_is_not_cached() {
    let (bucket, _) = filled(200).await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Arc::new(Gateway::new(&bucket, Some(open(&folder)), 200, 1));
    bucket.hold_reads();
    let reading = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.rows(&key(3)).await.row_count() }
    });
    crate::support::eventually(async || !bucket.take_reads().is_empty()).await;

    gateway.archive.remove(&[key(3)]).await.expect("a deletion");
    bucket.release_reads();
    let read = reading.await.expect("rows");

    assert_eq!(read, 200);
    assert_eq!(cached_files(&folder, 3), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_day_that_was_deleted_while_the_gateway_was_down_is_deleted_at_the_start() {
    let (bucket, folder) = filled(200).await;
    Gateway::new(&bucket, None, 200, 1).archive.remove(&[key(3)]).await.expect("a deletion");
    assert_eq!(cached_files(&folder, 3).len(), 1);

    let restarted = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    // What maintenance does first.
    restarted.archive.metadata_of_range(Geo::Cn, UserIdType::OpenId, feishu_pulse::model::DayRange::ALL).await;

    assert_eq!((cached_files(&folder, 3).len(), cached_files(&folder, 4).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_another_gateway_has_replaced_is_served_in_its_new_version() {
    let (bucket, folder) = filled(200).await;
    let gateway = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    let before = *gateway.digest(&key(3)).await.expect("a digest").hash();
    let other = Gateway::new(&bucket, None, 200, 2);
    for of_month in [3, 4] {
        other.archive.remove(&[key(of_month)]).await.expect("a deletion");
        other.rows(&key(of_month)).await;
    }
    other.archive.flush(Duration::from_secs(30)).await;
    let expected = [3, 4].map(|of_month| *other.upstream.rows(&key(of_month)).hash());

    let rows = *gateway.rows(&key(3)).await.hash();
    tokio::time::advance(Duration::from_millis(5001)).await;
    let digest = *gateway.digest(&key(4)).await.expect("a digest").hash();

    assert_ne!(before, expected[0]);
    assert_eq!([rows, digest], expected);
    assert_eq!((cached_files(&folder, 3).len(), gateway.loads()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_process_with_the_same_folder_reads_the_bucket_until_the_first_ends() {
    let (bucket, folder) = filled(200).await;
    let first = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    let (log, _guard) = CapturedLog::start("warn");

    let second = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    for of_month in 1..=2 {
        second.rows(&key(of_month)).await;
    }
    let (reads, failing) = (bucket.take_reads().len(), second.metric("feishu_pulse_archive_cache_failing"));
    first.rows(&key(1)).await;
    let reads_of_first = bucket.take_reads().len();
    drop(first);
    tokio::time::advance(Duration::from_secs(61)).await;
    // Opens the folder.
    second.rows(&key(3)).await;
    bucket.take_reads();
    second.rows(&key(4)).await;

    assert_eq!((reads, failing, reads_of_first), (2, 1, 0));
    assert_eq!((bucket.take_reads().len(), second.metric("feishu_pulse_archive_cache_failing")), (0, 0));
    assert_eq!(log.lines("another process uses").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_is_logged_once_and_the_bucket_is_read() {
    let (bucket, _) = filled(200).await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::new(&bucket, Some(open(&folder)), 200, 1);
    // A file has the name of the folder of unfinished files.
    let obstacle = folder.path().join("cache/_staging");
    fs::write(&obstacle, "in the way").expect("a writable folder");
    let (log, _guard) = CapturedLog::start("warn");

    gateway.load_days(DAYS).await;
    let failing = gateway.metric("feishu_pulse_archive_cache_failing");
    tokio::time::advance(Duration::from_secs(61)).await;
    gateway.rows(&key(1)).await;
    let reads = bucket.take_reads().len();
    fs::remove_file(obstacle).expect("a writable folder");
    tokio::time::advance(Duration::from_secs(61)).await;
    for _ in 0..2 {
        gateway.rows(&key(1)).await;
    }

    assert_eq!((failing, reads, gateway.loads()), (1, usize::from(DAYS) + 1, 0));
    assert_eq!(log.lines("the disk cache of the archive fails").len(), 1);
    assert_eq!((bucket.take_reads().len(), gateway.metric("feishu_pulse_archive_cache_failing")), (1, 0));
}

#[tokio::test]
async fn the_cache_of_another_app_is_emptied_and_other_files_are_not_touched() {
    let (_bucket, folder) = filled(200).await;
    let path = folder.path().join("cache");

    drop(open_for("cli_b", &path, ENOUGH));
    let left = below(&path);
    let strange = tempfile::tempdir().expect("a folder");
    fs::write(strange.path().join("thesis.odt"), "x").expect("a file");
    let config = DiskCacheConfig { folder: strange.path().to_owned(), max_bytes: ENOUGH };
    let refused = DiskCache::open(config, "s3://lake".to_owned(), owner("cli_a"));

    assert_eq!(left, [path.join("owner.json")]);
    assert!(refused.expect_err("a refusal").to_string().contains("name an empty folder"));
    assert_eq!(below(strange.path()), [strange.path().join("thesis.odt")]);
}

#[tokio::test]
async fn only_this_user_can_access_the_cache() {
    let (_bucket, folder) = filled(200).await;
    for path in below(folder.path()) {
        let mode = path.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}
