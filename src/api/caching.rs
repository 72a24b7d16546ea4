//! HTTP caching (RFC 9110, 9111 and 9211): what clients may cache, how they revalidate it, and the responses cached here.
//!
//! ```text
//! response_cache    the layer that serves cached responses instead of the router
//! cache_entry       a cached response with the conditions under which it is fresh
//! response_store    encoded responses by ETag, bounded by their size
//! etag              the strong validator of one representation
//! preconditions     If-None-Match and If-Modified-Since
//! cache_headers     Cache-Control, Cache-Status, Vary, Last-Modified
//! content_encoding  gzip, br and zstd
//! ranges            Range and If-Range
//! ```
//!
//! An ETag is derived from the inputs of a response, not from its bytes. A client with a current copy therefore receives
//! 304 before anything is computed.

pub mod cache_entry;
pub mod cache_headers;
pub mod content_encoding;
pub mod etag;
pub mod preconditions;
pub mod ranges;
pub mod response_cache;
pub mod response_store;

pub use cache_entry::CacheEntry;
pub use content_encoding::ContentEncoding;
pub use etag::ETag;
pub use response_cache::ResponseCache;
pub use response_store::ResponseStore;
