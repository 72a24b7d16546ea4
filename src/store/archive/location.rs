//! Location of the archive: a folder, a bucket, this process's memory, or none.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
    prefix::PrefixStore,
};

use reqwest::Url;

use super::staged_store::StagedStore;
use crate::{
    model::redact::{redacted_setting, without_userinfo},
    proxy,
};

/// Time limit of one request to a bucket, and of its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Limits for retries of a failed bucket request. They are small because a caller waits, and the day can be fetched
/// from Feishu instead.
const MAX_RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The place where days are archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveLocation {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An S3 bucket. Credentials, region and endpoint come from the usual `AWS_…` environment variables.
    Bucket {
        /// Name of the bucket.
        bucket: String,
        /// Prefix of all object names; may be empty.
        prefix: String,
    },
    /// Memory of this process, for trials.
    Memory,
    /// No archive: days are fetched again after a restart.
    Disabled,
}

/// The text is not a valid archive location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected file:///path, a path, s3://bucket/prefix, memory:// or none")]
pub struct ParseLocationError;

/// The archive location cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{location} cannot be used: {reason}")]
pub struct ArchiveLocationError {
    location: ArchiveLocation,
    reason: String,
}

impl ArchiveLocation {
    /// Opens the object store at this location; `None` for [`ArchiveLocation::Disabled`]. Creates a missing folder.
    /// Sends no request to a bucket.
    ///
    /// # Errors
    /// If the folder cannot be created, or the environment variables for the bucket are invalid.
    pub fn open(&self) -> Result<Option<Arc<dyn ObjectStore>>, ArchiveLocationError> {
        let unusable =
            |error: &dyn fmt::Display| ArchiveLocationError { location: self.clone(), reason: error.to_string() };
        Ok(match self {
            Self::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|error| unusable(&error))?;
                let folder = LocalFileSystem::new_with_prefix(path).map_err(|error| unusable(&error))?;
                // A write ends only when the day is safe from a power failure.
                Some(Arc::new(StagedStore::new(folder.with_fsync(true).with_automatic_cleanup(true))))
            }
            Self::Bucket { bucket, prefix } => {
                let retry =
                    RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
                let bucket = open_bucket(bucket, retry).map_err(|reason| unusable(&reason))?;
                Some(Arc::new(PrefixStore::new(bucket, Path::from(prefix.as_str()))))
            }
            Self::Memory => Some(Arc::new(InMemory::new())),
            Self::Disabled => None,
        })
    }

    /// Opens the bucket for conditional writes, which are not repeated: a repeated write finds the object that it wrote
    /// itself. `None` for other locations, which have no conditional writes between machines. Sends no request.
    ///
    /// # Errors
    /// If the environment variables for the bucket are invalid.
    pub fn open_without_retries(&self) -> Result<Option<Arc<dyn ObjectStore>>, ArchiveLocationError> {
        let Self::Bucket { bucket, prefix } = self else { return Ok(None) };
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let bucket =
            open_bucket(bucket, retry).map_err(|reason| ArchiveLocationError { location: self.clone(), reason })?;
        Ok(Some(Arc::new(PrefixStore::new(bucket, Path::from(prefix.as_str())))))
    }
}

/// Plain HTTP is allowed because an endpoint override often names a server without TLS. Amazon's own endpoints use
/// HTTPS.
fn open_bucket(bucket: &str, retry: RetryConfig) -> Result<impl ObjectStore, String> {
    let mut client =
        ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT).with_allow_http(true);
    let builder = from_environment().with_bucket_name(bucket);
    if let Some(endpoint) = endpoint(&builder)?.filter(proxy::is_direct) {
        // The client has no option to ignore HTTP_PROXY. A proxy that is not used for this host replaces it.
        client = client.with_proxy_url("http://127.0.0.1:9");
        client = client.with_proxy_excludes(endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']));
    }
    let bucket = builder.with_client_options(client).with_retry(retry).build();
    bucket.map_err(|error| without_userinfo(&error.to_string()))
}

/// The configuration in the `AWS_…` variables. Unlike [`AmazonS3Builder::from_env`], it ignores empty variables.
fn from_environment() -> AmazonS3Builder {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let key = name.to_str()?.strip_prefix("AWS_").map(|_| name.to_string_lossy().to_ascii_lowercase())?;
        let value = value.to_str().map(str::trim).filter(|value| !value.is_empty())?;
        Some((key.parse::<AmazonS3ConfigKey>().ok()?, value.to_owned()))
    });
    variables.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// The address of an S3 server other than Amazon's; `None` if none is set.
///
/// # Errors
/// If it is not a URL, or if it contains credentials: a request is signed, so they are never sent, and errors show the
/// address.
fn endpoint(builder: &AmazonS3Builder) -> Result<Option<Url>, String> {
    let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let Some(endpoint) = keys.iter().find_map(|key| builder.get_config_value(key)) else { return Ok(None) };
    let invalid = |reason: &str| format!("AWS_ENDPOINT_URL ({}) {reason}", redacted_setting(&endpoint));
    let url: Url = endpoint.parse().map_err(|_| invalid("is not a URL such as https://s3.example.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(invalid("is not an http or https address"));
    }
    if endpoint.contains('@') {
        return Err(invalid("contains credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"));
    }
    Ok(Some(url))
}

impl FromStr for ArchiveLocation {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            None if text == "none" => Ok(Self::Disabled),
            None if !text.is_empty() => Ok(Self::Folder(text.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(("memory", "" | "/")) => Ok(Self::Memory),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
                if bucket.is_empty() || bucket.contains(['@', ':', '?']) {
                    Err(ParseLocationError)
                } else {
                    Ok(Self::Bucket { bucket, prefix })
                }
            }
            _ => Err(ParseLocationError),
        }
    }
}

impl fmt::Display for ArchiveLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Memory => f.write_str("memory://"),
            Self::Disabled => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("file:///var/lib/pulse", ArchiveLocation::Folder("/var/lib/pulse".into()))]
    #[case("data", ArchiveLocation::Folder("data".into()))]
    #[case("s3://lake", ArchiveLocation::Bucket { bucket: "lake".into(), prefix: String::new() })]
    #[case("s3://lake/feishu/pulse/", ArchiveLocation::Bucket { bucket: "lake".into(), prefix: "feishu/pulse".into() })]
    #[case("memory://", ArchiveLocation::Memory)]
    #[case("none", ArchiveLocation::Disabled)]
    fn a_location_is_parsed_from_its_url(#[case] text: &str, #[case] location: ArchiveLocation) {
        assert_eq!(text.parse(), Ok(location.clone()));
        assert_eq!(location.to_string().parse(), Ok(location));
    }

    #[rstest]
    #[case("")]
    #[case("s3://")]
    #[case("file://relative")]
    #[case("ftp://host/path")]
    #[case("memory://x")]
    #[case("s3://key:secret@lake")]
    fn an_invalid_location_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<ArchiveLocation>(), Err(ParseLocationError));
    }
}
