//! HTTP caching (RFC 9110, 9111 and 9211): what callers may keep, how they ask whether it still holds, and what is kept
//! here.
//!
//! ```text
//! front       answers from what is kept, before anything else looks at the request
//! standing    an answer that stands for now, ready to be sent
//! kept        whole answers as they were sent, by their tag; bounded by bytes
//! tag         the strong ETag of one representation of one answer
//! conditions  whether the caller holds it already
//! fields      Cache-Control, Cache-Status and their kind
//! encoding    gzip, br and zstd
//! ```
//!
//! A tag is made of what an answer rests on, not of its bytes: so a caller who holds the answer is told so before
//! anything is computed.

pub mod conditions;
pub mod encoding;
pub mod fields;
pub mod front;
pub mod kept;
pub mod standing;
pub mod tag;

pub use encoding::Encoding;
pub use front::Front;
pub use kept::Kept;
pub use standing::Standing;
pub use tag::Tag;
