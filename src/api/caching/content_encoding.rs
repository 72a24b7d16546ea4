//! Content codings: negotiation by `Accept-Encoding` (RFC 9110, section 12.5.3) and compression.

use std::io::{self, Write as _};

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;

use crate::api::export_pool::ChunkSource;

/// Size in bytes below which bodies are not compressed: compression would not save a packet.
const MIN_COMPRESSED_BYTES: usize = 512;

/// A content coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// No compression.
    #[default]
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl ContentEncoding {
    /// Codings for stored responses, which are compressed once and sent often: best compression first.
    pub const STORED: &'static [Self] = &[Self::Brotli, Self::Zstd, Self::Gzip];

    /// Codings for exports, which are compressed while they are sent: fastest first.
    pub const STREAMED: &'static [Self] = &[Self::Zstd, Self::Gzip];

    /// The name in `Content-Encoding` and in ETags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The offered coding with the highest weight in `Accept-Encoding`. Among equal weights, the first offered one
    /// wins, and any coding wins over identity.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap, offered: &[Self]) -> Self {
        let accepted = accepted(headers);
        let weight = |encoding: &Self| {
            weight_of(&accepted, encoding.name()).or_else(|| weight_of(&accepted, "*")).unwrap_or(0.0)
        };
        // Identity is acceptable by default, but only its explicit weight can exceed that of another coding.
        let identity = weight_of(&accepted, Self::Identity.name()).unwrap_or(0.0);
        // `max_by` returns the last of equal maxima, so the offer is reversed.
        let best = offered.iter().rev().max_by(|left, right| weight(left).total_cmp(&weight(right)));
        let is_acceptable = |encoding: &Self| weight(encoding) > 0.0 && weight(encoding) >= identity;
        best.copied().filter(is_acceptable).unwrap_or_default()
    }

    /// Whether the client does not accept an uncompressed body.
    #[must_use]
    pub fn is_identity_refused(headers: &HeaderMap) -> bool {
        let accepted = accepted(headers);
        let weight = weight_of(&accepted, Self::Identity.name()).or_else(|| weight_of(&accepted, "*"));
        weight == Some(0.0)
    }

    /// The value of `Content-Encoding`; `None` for identity.
    #[must_use]
    pub const fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            encoded => Some(HeaderValue::from_static(encoded.name())),
        }
    }

    /// This coding, or identity if a body of that many bytes is too small to compress.
    #[must_use]
    pub const fn unless_small(self, bytes: usize) -> Self {
        if bytes < MIN_COMPRESSED_BYTES { Self::Identity } else { self }
    }

    /// Compresses a complete body.
    ///
    /// # Errors
    /// Fails if the encoder cannot be created. A body in memory causes no other error.
    pub fn encode(self, body: Bytes) -> io::Result<Bytes> {
        if self == Self::Identity {
            return Ok(body);
        }
        let mut encoder = Encoder::new(self)?;
        encoder.write(&body)?;
        Ok(encoder.finish()?.into())
    }
}

/// The codings of `Accept-Encoding` with their weights.
fn accepted(headers: &HeaderMap) -> Vec<(&str, f32)> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(parse_item).collect()
}

fn weight_of(accepted: &[(&str, f32)], name: &str) -> Option<f32> {
    accepted.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, q)| *q)
}

/// Parses an item of `Accept-Encoding`: a coding and its weight between 0 and 1.
fn parse_item(item: &str) -> (&str, f32) {
    let (name, weight) = item.split_once(';').unwrap_or((item, ""));
    let weight = quality(weight).map_or(1.0, |q| q.parse().unwrap_or(0.0));
    (name.trim(), if weight > 0.0 { f32::min(weight, 1.0) } else { 0.0 })
}

/// The value of a parameter `q`, whose name is case-insensitive (RFC 9110, section 12.4.2).
#[must_use]
pub fn quality(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
}

/// A streaming compressor.
enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// Creates the compressor of a coding. Identity must not be passed; it yields gzip.
    fn new(encoding: ContentEncoding) -> io::Result<Self> {
        // At higher levels, compression takes longer than the transfer of the saved bytes.
        Ok(match encoding {
            ContentEncoding::Identity | ContentEncoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5)))
            }
            ContentEncoding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22))),
            ContentEncoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 3)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Removes and returns the output produced so far.
    fn drain(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Self::Brotli(encoder) => std::mem::take(encoder.get_mut()),
            Self::Zstd(encoder) => std::mem::take(encoder.get_mut()),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// The chunks of an export, compressed.
pub struct EncodedChunks<C> {
    chunks: C,
    encoder: Option<Encoder>,
}

impl<C: ChunkSource> EncodedChunks<C> {
    /// Compresses `chunks` with this coding.
    ///
    /// # Errors
    /// Fails if the encoder cannot be created.
    pub fn new(chunks: C, encoding: ContentEncoding) -> io::Result<Self> {
        let encoder = (encoding != ContentEncoding::Identity).then(|| Encoder::new(encoding)).transpose()?;
        Ok(Self { chunks, encoder })
    }
}

impl<C: ChunkSource> ChunkSource for EncodedChunks<C> {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(encoder) = &mut self.encoder else { return self.chunks.next_chunk() };
        while let Some(chunk) = self.chunks.next_chunk()? {
            encoder.write(&chunk)?;
            let out = encoder.drain();
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        let rest = self.encoder.take().map(Encoder::finish).transpose()?;
        Ok(rest.map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("gzip", ContentEncoding::Gzip)]
    #[case("gzip, deflate, br, zstd", ContentEncoding::Brotli)]
    #[case("gzip;q=1.0, br;q=0.5", ContentEncoding::Gzip)]
    #[case("br;q=0, *", ContentEncoding::Zstd)]
    #[case("GZIP", ContentEncoding::Gzip)]
    #[case("br;Q=0, gzip ; q = 1", ContentEncoding::Gzip)]
    #[case("identity, gzip;q=0.5", ContentEncoding::Identity)]
    #[case("identity;q=0.5, gzip;q=0.5", ContentEncoding::Gzip)]
    #[case("identity;q=0, gzip", ContentEncoding::Gzip)]
    #[case("identity", ContentEncoding::Identity)]
    #[case("*;q=0", ContentEncoding::Identity)]
    #[case("deflate", ContentEncoding::Identity)]
    #[case("", ContentEncoding::Identity)]
    fn the_coding_with_the_highest_weight_is_chosen(#[case] accept: &str, #[case] expected: ContentEncoding) {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
        assert_eq!(ContentEncoding::negotiate(&headers, ContentEncoding::STORED), expected);
    }

    #[rstest]
    #[case("identity;q=0, gzip", true)]
    #[case("gzip, *;q=0", true)]
    #[case("identity;q=0.1, *;q=0", false)]
    #[case("gzip", false)]
    #[case("", false)]
    fn identity_is_refused_only_by_a_weight_of_zero(#[case] accept: &str, #[case] expected: bool) {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
        assert_eq!(ContentEncoding::is_identity_refused(&headers), expected);
    }

    fn decoded(encoding: ContentEncoding, bytes: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn io::Read + '_> = match encoding {
            ContentEncoding::Identity => Box::new(bytes),
            ContentEncoding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
            ContentEncoding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            ContentEncoding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        };
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        out
    }

    struct LineChunks(usize);

    impl ChunkSource for LineChunks {
        fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
            let Some(left) = self.0.checked_sub(1) else { return Ok(None) };
            self.0 = left;
            Ok(Some(format!("line {left} of an export\n").repeat(1000).into()))
        }
    }

    #[rstest]
    fn a_compressed_body_decompresses_to_the_original(
        #[values(ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Brotli, ContentEncoding::Zstd)]
        encoding: ContentEncoding,
    ) {
        let whole: Vec<u8> = std::iter::from_fn({
            let mut lines = LineChunks(5);
            move || lines.next_chunk().unwrap()
        })
        .flatten()
        .collect();

        let once = encoding.encode(whole.clone().into()).unwrap();
        let mut streamed = EncodedChunks::new(LineChunks(5), encoding).unwrap();
        let chunks: Vec<u8> = std::iter::from_fn(|| streamed.next_chunk().unwrap()).flatten().collect();

        assert_eq!(decoded(encoding, &once), whole);
        assert_eq!(decoded(encoding, &chunks), whole);
    }
}
