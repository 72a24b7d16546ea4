//! Where the archive is: a folder, a bucket, this process's memory, or nowhere.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem, memory::InMemory,
    path::Path, prefix::PrefixStore,
};

/// One exchange with a bucket may take this long, its connection [`CONNECT`].
const EXCHANGE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(3);

/// A bucket that fails is asked again this often and this long. Somebody waits, and Feishu has the day too.
const RETRIES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(10);

/// Where days are archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Below a folder of this machine.
    Folder(PathBuf),
    /// In a bucket that speaks S3, below a prefix; credentials, region and endpoint are from the usual `AWS_…` variables.
    Bucket {
        /// Its name.
        bucket: String,
        /// What all names begin with; may be empty.
        prefix: String,
    },
    /// In this process: for trying things out.
    Memory,
    /// Not at all: days are held in memory alone, and fetched again after a restart.
    Nowhere,
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected file:///path, a path, s3://bucket/prefix, memory:// or none")]
pub struct ParseLocationError;

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{location} cannot be used: {reason}")]
pub struct UnusableLocation {
    location: Location,
    reason: String,
}

impl Location {
    /// The store at this place; `None` for [`Location::Nowhere`]. A folder is made where there is none; a bucket is
    /// not asked for anything yet.
    ///
    /// # Errors
    /// Where the folder cannot be made, or the variables for the bucket make no sense.
    pub fn open(&self) -> Result<Option<Arc<dyn ObjectStore>>, UnusableLocation> {
        let unusable =
            |error: &dyn fmt::Display| UnusableLocation { location: self.clone(), reason: error.to_string() };
        Ok(match self {
            Self::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|error| unusable(&error))?;
                let folder = LocalFileSystem::new_with_prefix(path).map_err(|error| unusable(&error))?;
                // A day counts as written when it outlives a power cut.
                Some(Arc::new(folder.with_fsync(true).with_automatic_cleanup(true)))
            }
            Self::Bucket { bucket, prefix } => {
                let bucket = open_bucket(bucket).map_err(|error| unusable(&error))?;
                Some(Arc::new(PrefixStore::new(bucket, Path::from(prefix.as_str()))))
            }
            Self::Memory => Some(Arc::new(InMemory::new())),
            Self::Nowhere => None,
        })
    }
}

/// An endpoint override is somebody's own server, often without TLS; Amazon's own is never asked without.
fn open_bucket(bucket: &str) -> object_store::Result<impl ObjectStore> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() };
    let client = ClientOptions::new().with_timeout(EXCHANGE).with_connect_timeout(CONNECT).with_allow_http(true);
    AmazonS3Builder::from_env().with_bucket_name(bucket).with_client_options(client).with_retry(retry).build()
}

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            None if text == "none" => Ok(Self::Nowhere),
            None if !text.is_empty() => Ok(Self::Folder(text.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(("memory", "" | "/")) => Ok(Self::Memory),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
                if bucket.is_empty() { Err(ParseLocationError) } else { Ok(Self::Bucket { bucket, prefix }) }
            }
            _ => Err(ParseLocationError),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Memory => f.write_str("memory://"),
            Self::Nowhere => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("file:///var/lib/pulse", Location::Folder("/var/lib/pulse".into()))]
    #[case("data", Location::Folder("data".into()))]
    #[case("s3://lake", Location::Bucket { bucket: "lake".into(), prefix: String::new() })]
    #[case("s3://lake/feishu/pulse/", Location::Bucket { bucket: "lake".into(), prefix: "feishu/pulse".into() })]
    #[case("memory://", Location::Memory)]
    #[case("none", Location::Nowhere)]
    fn a_place_is_named_by_its_url(#[case] text: &str, #[case] location: Location) {
        assert_eq!(text.parse(), Ok(location.clone()));
        assert_eq!(location.to_string().parse(), Ok(location));
    }

    #[rstest]
    #[case("")]
    #[case("s3://")]
    #[case("file://relative")]
    #[case("ftp://host/path")]
    #[case("memory://x")]
    fn what_names_no_place_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Location>(), Err(ParseLocationError));
    }
}
