//! Folder of the disk cache: parts of archived files on a local disk, bounded by bytes.
//!
//! ```text
//! owner.json                                            whose days these are; locked by the process that uses the folder
//! user_days/geo=cn/user_id_type=open_id/date=2026-11-01/
//!   0f3a…c1-0-52311                                     version of the file in the bucket, first byte, end
//! _staging/                                             unfinished parts
//! ```
//!
//! A part begins with a line of JSON: which file, version and range it has, and a checksum of each block. Every read is
//! checked against it, so a damaged part or one of another file is never returned.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use lru::LruCache;
use object_store::path::Path as ObjectPath;
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    file_version::FileVersion,
    layout::{self, DAYS_FOLDER, STAGING_FOLDER},
    ownership::ArchiveOwner,
};
use crate::model::{Day, DayKey, Geo, UserIdType};

/// The version of the folder's layout. The folder is emptied if it has another one.
const FORMAT_VERSION: u32 = 1;

/// The owner record. Its file is also the lock.
const OWNER_FILE: &str = "owner.json";

/// Bytes of a part that share a checksum. A read verifies the blocks that it touches.
const BLOCK_BYTES: u64 = 256 << 10;

/// Limit of the header of a part; a longer one is damaged. A header takes 35 bytes for each block.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Sets the time of the last change to the present.
const CHANGED_NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
};

/// The archive whose days a folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CacheOwner {
    format_version: u32,
    /// The location of the archive.
    archive: String,
    #[serde(flatten)]
    owner: ArchiveOwner,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenCacheError {
    /// The folder contains other files. Nothing is deleted there.
    #[error("{0} contains other files: name an empty folder, or one that does not exist")]
    NotACache(PathBuf),
    /// Another process uses the folder.
    #[error("another process uses {0}")]
    InUse(PathBuf),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A part of a version of the file of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePart<'a> {
    pub(super) key: &'a DayKey,
    pub(super) version: &'a FileVersion,
    /// The first byte, and the end.
    pub(super) range: Range<u64>,
}

/// What a lookup finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CachedPart {
    Found(Bytes),
    Missing,
    /// The part was damaged, or was one of another file. It is deleted.
    Damaged,
}

/// Number of removals when a read began. A day that is removed meanwhile is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RemovalCount(u64);

/// A folder that this process has locked.
#[derive(Debug)]
pub(super) struct CacheFolder {
    root: PathBuf,
    max_bytes: u64,
    contents: Mutex<Contents>,
    /// Locked as long as it is open.
    _owner_file: File,
}

/// The days in the folder.
#[derive(Debug)]
struct Contents {
    /// The least recently used day is evicted first.
    days: LruCache<DayKey, CachedDay>,
    /// Bytes of all parts, and of those that are being written.
    bytes: u64,
    removals: u64,
}

/// The parts of a day. They have one version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CachedDay {
    /// [`FileVersion::name`].
    version: String,
    bytes: u64,
}

/// The first line of a part.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartHeader {
    file: String,
    version: String,
    start: u64,
    end: u64,
    /// The first 16 bytes of the SHA-256 of each block.
    blocks: Vec<Checksum>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Checksum(String);

impl CacheOwner {
    pub(super) fn new(archive: String, owner: ArchiveOwner) -> Self {
        Self { format_version: FORMAT_VERSION, archive, owner }
    }
}

impl Checksum {
    fn of(block: &[u8]) -> Self {
        let hash: [u8; 16] = std::array::from_fn({
            let hash = Sha256::digest(block);
            move |byte| hash[byte]
        });
        Self(format!("{:032x}", u128::from_be_bytes(hash)))
    }
}

impl CacheFolder {
    /// Opens or creates a folder of at most `max_bytes` bytes, and locks it. Deletes unfinished parts, and all days if the
    /// folder belongs to another archive.
    ///
    /// # Errors
    /// [`OpenCacheError`]. Then nothing was deleted.
    pub(super) fn open(root: &Path, max_bytes: u64, owner: &CacheOwner) -> Result<Self, OpenCacheError> {
        create_folder(root)?;
        let path = root.join(OWNER_FILE);
        if !path.exists() && has_other_files(root)? {
            return Err(OpenCacheError::NotACache(root.to_owned()));
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenCacheError::InUse(root.to_owned()),
            TryLockError::Error(error) => OpenCacheError::Io(error),
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let recorded: Option<CacheOwner> = serde_json::from_str(&text).ok();
        // A process that was killed before it wrote the record left an empty file.
        if recorded.is_none() && !text.is_empty() {
            return Err(OpenCacheError::NotACache(root.to_owned()));
        }
        if recorded.as_ref() != Some(owner) {
            if recorded.is_some() {
                tracing::info!(folder = %root.display(), "the disk cache held the days of another archive and is emptied");
            }
            remove_folder(&root.join(DAYS_FOLDER))?;
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&serde_json::to_vec_pretty(owner).map_err(io::Error::other)?)?;
        }
        remove_folder(&root.join(STAGING_FOLDER))?;
        let folder = Self {
            root: root.to_owned(),
            max_bytes,
            contents: Mutex::new(Contents { days: LruCache::unbounded(), bytes: 0, removals: 0 }),
            _owner_file: file,
        };
        folder.scan()?;
        Ok(folder)
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> u64 {
        self.contents().bytes
    }

    /// The number of removals until now.
    pub(super) fn removals(&self) -> RemovalCount {
        RemovalCount(self.contents().removals)
    }

    /// A part of a file, if it is cached. A day that is cached in another version is deleted.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn get(&self, wanted: &FilePart<'_>) -> io::Result<CachedPart> {
        let FilePart { key, version, .. } = wanted;
        {
            let mut contents = self.contents();
            match contents.days.get(*key) {
                Some(cached) if cached.version == version.name() => {}
                Some(_) => {
                    self.remove_day(&mut contents, key)?;
                    return Ok(CachedPart::Missing);
                }
                None => return Ok(CachedPart::Missing),
            }
        }
        let candidates = [wanted.clone(), FilePart { range: 0..version.size, ..wanted.clone() }];
        for part in candidates {
            let file = match File::open(self.path_of(&part)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Days are evicted in the order of their last use, also after a restart. Nothing else depends on it.
            let _ = futimens(&file, &CHANGED_NOW);
            if let Some(bytes) = part.read(file, &wanted.range)? {
                return Ok(CachedPart::Found(bytes));
            }
            self.remove_day(&mut self.contents(), key)?;
            return Ok(CachedPart::Damaged);
        }
        Ok(CachedPart::Missing)
    }

    /// Stores a part of a file, unless a day was removed since `removals`. Evicts other days to make room, and deletes other
    /// versions of the day. A part for which there is no room is not stored.
    ///
    /// # Errors
    /// If the disk fails. Then nothing is stored.
    pub(super) fn insert(&self, part: &FilePart<'_>, bytes: &[u8], removals: RemovalCount) -> io::Result<()> {
        if bytes.len() as u64 != part.range.end - part.range.start {
            return Ok(());
        }
        let mut header = serde_json::to_vec(&PartHeader::new(part, bytes))?;
        header.push(b'\n');
        let length = (header.len() + bytes.len()) as u64;
        {
            let mut contents = self.contents();
            if contents.removals != removals.0 || !self.make_room(&mut contents, length)? {
                return Ok(());
            }
            contents.bytes += length;
        }
        let staged = self.root.join(STAGING_FOLDER).join(format!("{:016x}", fastrand::u64(..)));
        let written = write_staged(&staged, &header, bytes);
        let mut contents = self.contents();
        contents.bytes -= length;
        let stored = written.and_then(|()| {
            if contents.removals == removals.0 {
                self.place(&mut contents, part, &staged, length)
            } else {
                fs::remove_file(&staged)
            }
        });
        if stored.is_err() {
            // The next start deletes it otherwise.
            let _ = fs::remove_file(&staged);
        }
        stored
    }

    /// Whether parts of a day are cached, in any version.
    pub(super) fn contains(&self, key: &DayKey) -> bool {
        self.contents().days.contains(key)
    }

    /// Deletes the parts of a day. Reads in progress are stored.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) fn discard(&self, key: &DayKey) -> io::Result<()> {
        self.remove_day(&mut self.contents(), key)
    }

    /// Deletes the parts of a day. A read in progress is not stored.
    ///
    /// # Errors
    /// If the disk fails. Then parts may be left; a repeated call tries again.
    pub(super) fn remove(&self, key: &DayKey) -> io::Result<()> {
        let mut contents = self.contents();
        contents.removals += 1;
        self.remove_day(&mut contents, key)
    }

    /// Deletes all days.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut contents = self.contents();
        contents.removals += 1;
        remove_folder(&self.root.join(DAYS_FOLDER))?;
        let freed: u64 = contents.days.iter().map(|(_, day)| day.bytes).sum();
        contents.bytes -= freed;
        contents.days.clear();
        Ok(())
    }

    /// Deletes the days of a series whose file does not exist in the cached version. `version_of` returns the version in a
    /// listing of the whole series.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) fn retain(
        &self,
        geo: Geo,
        user_id_type: UserIdType,
        version_of: impl Fn(Day) -> Option<FileVersion>,
    ) -> io::Result<()> {
        let mut contents = self.contents();
        let of_series = contents.days.iter().filter(|(key, _)| (key.geo, key.user_id_type) == (geo, user_id_type));
        let stale = of_series
            .filter(|(key, cached)| version_of(key.day).is_none_or(|version| version.name() != cached.version))
            .map(|(key, _)| key.clone());
        for key in stale.collect::<Vec<_>>() {
            self.remove_day(&mut contents, &key)?;
        }
        Ok(())
    }

    /// Renames a written part of `length` bytes, and accounts for it.
    fn place(&self, contents: &mut Contents, part: &FilePart<'_>, staged: &Path, length: u64) -> io::Result<()> {
        let version = part.version.name();
        // Beside a whole file, its parts are not needed.
        if contents.days.peek(part.key).is_some_and(|cached| part.is_whole() || cached.version != version) {
            self.remove_day(contents, part.key)?;
        }
        let path = self.path_of(part);
        create_folder(&self.day_folder(part.key))?;
        let replaced = path.metadata().map_or(0, |replaced| replaced.len());
        fs::rename(staged, &path)?;
        let day = contents.days.get_or_insert_mut(part.key.clone(), || CachedDay { version, bytes: 0 });
        day.bytes = (day.bytes + length).saturating_sub(replaced);
        contents.bytes = (contents.bytes + length).saturating_sub(replaced);
        Ok(())
    }

    /// Evicts days until `needed` bytes fit. False if they do not fit, because they are too many or because too many parts are
    /// being written.
    fn make_room(&self, contents: &mut Contents, needed: u64) -> io::Result<bool> {
        if needed > self.max_bytes {
            return Ok(false);
        }
        while contents.bytes + needed > self.max_bytes {
            let Some(oldest) = contents.days.peek_lru().map(|(key, _)| key.clone()) else { return Ok(false) };
            self.remove_day(contents, &oldest)?;
        }
        Ok(true)
    }

    fn remove_day(&self, contents: &mut Contents, key: &DayKey) -> io::Result<()> {
        remove_folder(&self.day_folder(key))?;
        if let Some(day) = contents.days.pop(key) {
            contents.bytes = contents.bytes.saturating_sub(day.bytes);
        }
        Ok(())
    }

    /// Records the parts that an earlier process left, and deletes other files below the folder of days.
    fn scan(&self) -> io::Result<()> {
        let mut found = Vec::new();
        self.scan_folder(&self.root.join(DAYS_FOLDER), &mut found)?;
        found.sort_by_key(|(used, ..)| *used);
        let mut contents = self.contents();
        for (_, key, day) in found {
            contents.bytes += day.bytes;
            contents.days.put(key, day);
        }
        self.make_room(&mut contents, 0)?;
        Ok(())
    }

    fn scan_folder(&self, folder: &Path, found: &mut Vec<(SystemTime, DayKey, CachedDay)>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let key = self.key_of(folder);
        let (mut used, mut day) = (SystemTime::UNIX_EPOCH, CachedDay { version: String::new(), bytes: 0 });
        for entry in entries {
            let (path, metadata) = (entry.path(), entry.metadata()?);
            if metadata.is_dir() && key.is_none() {
                self.scan_folder(&path, found)?;
                continue;
            }
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
            match name {
                Some((version, _)) if key.is_some() && metadata.is_file() => {
                    if !day.version.is_empty() && day.version != version {
                        // A process was killed while it replaced the day.
                        return remove_folder(folder);
                    }
                    version.clone_into(&mut day.version);
                    day.bytes += metadata.len();
                    used = used.max(metadata.modified()?);
                }
                _ if metadata.is_dir() => remove_folder(&path)?,
                _ => fs::remove_file(&path)?,
            }
        }
        if let Some(key) = key.filter(|_| !day.version.is_empty()) {
            found.push((used, key, day));
        }
        Ok(())
    }

    /// The day whose parts are in a folder.
    fn key_of(&self, folder: &Path) -> Option<DayKey> {
        let relative = folder.strip_prefix(&self.root).ok()?;
        layout::parse_day_folder(&ObjectPath::from(relative.to_str()?))
    }

    fn day_folder(&self, key: &DayKey) -> PathBuf {
        self.root.join(layout::day_folder(key).as_ref())
    }

    fn path_of(&self, part: &FilePart<'_>) -> PathBuf {
        let FilePart { key, version, range } = part;
        self.day_folder(key).join(format!("{}-{}-{}", version.name(), range.start, range.end))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock()
    }
}

impl FilePart<'_> {
    fn is_whole(&self) -> bool {
        self.range == (0..self.version.size)
    }

    /// Reads `wanted`, which lies within this part, from the file of this part. `None` if the file is damaged or is that of
    /// another part.
    fn read(&self, file: File, wanted: &Range<u64>) -> io::Result<Option<Bytes>> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let header_bytes = reader.by_ref().take(MAX_HEADER_BYTES).read_until(b'\n', &mut line)? as u64;
        let Ok(header) = serde_json::from_slice::<PartHeader>(&line) else { return Ok(None) };
        let length = self.range.end - self.range.start;
        if !header.is_of(self) || header.blocks.len() as u64 != length.div_ceil(BLOCK_BYTES) {
            return Ok(None);
        }
        let (from, to) = (wanted.start - self.range.start, wanted.end - self.range.start);
        let first_block = from / BLOCK_BYTES;
        let read = first_block * BLOCK_BYTES..(to.div_ceil(BLOCK_BYTES) * BLOCK_BYTES).min(length);
        reader.seek(SeekFrom::Start(header_bytes + read.start))?;
        let mut bytes = Vec::with_capacity(to_usize(read.end - read.start));
        reader.take(read.end - read.start).read_to_end(&mut bytes)?;
        let expected = &header.blocks[to_usize(first_block)..];
        let is_sound = bytes.len() as u64 == read.end - read.start
            && blocks(&bytes).zip(expected).all(|(block, expected)| Checksum::of(block) == *expected);
        let wanted = to_usize(from - read.start)..to_usize(to - read.start);
        Ok(is_sound.then(|| Bytes::from(bytes).slice(wanted)))
    }
}

impl PartHeader {
    fn new(part: &FilePart<'_>, bytes: &[u8]) -> Self {
        Self {
            file: layout::day_file(part.key).to_string(),
            version: part.version.name(),
            start: part.range.start,
            end: part.range.end,
            blocks: blocks(bytes).map(Checksum::of).collect(),
        }
    }

    fn is_of(&self, part: &FilePart<'_>) -> bool {
        self.file == layout::day_file(part.key).as_ref()
            && self.version == part.version.name()
            && (self.start..self.end) == part.range
    }
}

fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(to_usize(BLOCK_BYTES))
}

/// A length in memory.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn write_staged(path: &Path, header: &[u8], bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(header)?;
    // Not synchronised: the checksums find a part that a power failure cut short.
    file.write_all(bytes)
}

/// Creates a folder that only this user can access, if it does not exist.
fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Deletes a folder with its content, if it exists.
fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a folder contains anything but what file systems put at their root.
fn has_other_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name() != "lost+found" {
            return Ok(true);
        }
    }
    Ok(false)
}
