//! `Accept-Encoding` (RFC 9110, section 12.5.3) and the encodings that are made here.

use std::io::{self, Write as _};

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;

use crate::api::work::Chunks;

/// Below this, compressing saves no packet.
const WORTH_IT: usize = 512;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Encoding {
    /// For bodies that are encoded once and sent often: the smallest first.
    pub const KEPT: &'static [Self] = &[Self::Brotli, Self::Zstd, Self::Gzip];

    /// For bodies that are encoded while they are sent: the fastest first.
    pub const STREAMED: &'static [Self] = &[Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`, and in tags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The encoding that the caller wants most; among equals the first that is offered, before none.
    #[must_use]
    pub fn wanted(headers: &HeaderMap, offered: &[Self]) -> Self {
        let accepted = accepted(headers);
        let weight = |encoding: &Self| {
            weight_of(&accepted, encoding.name()).or_else(|| weight_of(&accepted, "*")).unwrap_or(0.0)
        };
        // Only who names it can want it more than another; it is good for all who do not refuse it.
        let identity = weight_of(&accepted, Self::Identity.name()).unwrap_or(0.0);
        // The last of the greatest wins, so the offer is read backwards.
        let best = offered.iter().rev().max_by(|one, other| weight(one).total_cmp(&weight(other)));
        let is_wanted = |encoding: &Self| weight(encoding) > 0.0 && weight(encoding) >= identity;
        best.copied().filter(is_wanted).unwrap_or_default()
    }

    /// Whether the caller can do nothing with a body as it is.
    #[must_use]
    pub fn is_identity_refused(headers: &HeaderMap) -> bool {
        let accepted = accepted(headers);
        let weight = weight_of(&accepted, Self::Identity.name()).or_else(|| weight_of(&accepted, "*"));
        weight == Some(0.0)
    }

    /// The value of `Content-Encoding`; `None` for none.
    #[must_use]
    pub const fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            encoded => Some(HeaderValue::from_static(encoded.name())),
        }
    }

    /// What a body of that many bytes is encoded with, where this is wanted.
    #[must_use]
    pub const fn worth_it(self, bytes: usize) -> Self {
        if bytes < WORTH_IT { Self::Identity } else { self }
    }

    /// A whole body, encoded.
    ///
    /// # Errors
    /// None that a body in memory can cause.
    pub fn encode(self, body: Bytes) -> io::Result<Bytes> {
        if self == Self::Identity {
            return Ok(body);
        }
        let mut encoder = Encoder::new(self)?;
        encoder.write(&body)?;
        Ok(encoder.finish()?.into())
    }
}

/// The items of `Accept-Encoding`, each with its weight.
fn accepted(headers: &HeaderMap) -> Vec<(&str, f32)> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(weighed).collect()
}

fn weight_of(accepted: &[(&str, f32)], name: &str) -> Option<f32> {
    accepted.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, q)| *q)
}

/// One item of `Accept-Encoding`, with its weight, 0 to 1.
fn weighed(item: &str) -> (&str, f32) {
    let (name, weight) = item.split_once(';').unwrap_or((item, ""));
    let weight = quality(weight).map_or(1.0, |q| q.parse().unwrap_or(0.0));
    (name.trim(), if weight > 0.0 { f32::min(weight, 1.0) } else { 0.0 })
}

/// What stands behind `q=` in a parameter, which is no matter of upper and lower case (RFC 9110, section 12.4.2).
#[must_use]
pub fn quality(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
}

/// Encodes what is written to it.
enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder; of identity, which needs none, it is gzip's.
    fn new(encoding: Encoding) -> io::Result<Self> {
        // The levels are where a byte less costs more time than it saves on the way.
        Ok(match encoding {
            Encoding::Identity | Encoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5)))
            }
            Encoding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22))),
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 3)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// What has come out so far.
    fn take(&mut self) -> Vec<u8> {
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

/// The chunks of an export, encoded.
pub struct Encoded<C> {
    chunks: C,
    encoder: Option<Encoder>,
}

impl<C: Chunks> Encoded<C> {
    /// The chunks, encoded like this.
    ///
    /// # Errors
    /// Where there is no memory for an encoder.
    pub fn new(chunks: C, encoding: Encoding) -> io::Result<Self> {
        let encoder = (encoding != Encoding::Identity).then(|| Encoder::new(encoding)).transpose()?;
        Ok(Self { chunks, encoder })
    }
}

impl<C: Chunks> Chunks for Encoded<C> {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(encoder) = &mut self.encoder else { return self.chunks.next_chunk() };
        while let Some(chunk) = self.chunks.next_chunk()? {
            encoder.write(&chunk)?;
            let out = encoder.take();
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
    use std::io::Read as _;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("gzip", Encoding::Gzip)]
    #[case("gzip, deflate, br, zstd", Encoding::Brotli)]
    #[case("gzip;q=1.0, br;q=0.5", Encoding::Gzip)]
    #[case("br;q=0, *", Encoding::Zstd)]
    #[case("GZIP", Encoding::Gzip)]
    #[case("br;Q=0, gzip ; q = 1", Encoding::Gzip)]
    #[case("identity, gzip;q=0.5", Encoding::Identity)]
    #[case("identity;q=0.5, gzip;q=0.5", Encoding::Gzip)]
    #[case("identity;q=0, gzip", Encoding::Gzip)]
    #[case("identity", Encoding::Identity)]
    #[case("*;q=0", Encoding::Identity)]
    #[case("deflate", Encoding::Identity)]
    #[case("", Encoding::Identity)]
    fn the_most_wanted_encoding_is_chosen(#[case] accept: &str, #[case] chosen: Encoding) {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
        assert_eq!(Encoding::wanted(&headers, Encoding::KEPT), chosen);
    }

    #[rstest]
    #[case("identity;q=0, gzip", true)]
    #[case("gzip, *;q=0", true)]
    #[case("identity;q=0.1, *;q=0", false)]
    #[case("gzip", false)]
    #[case("", false)]
    fn who_refuses_a_body_as_it_is_says_so(#[case] accept: &str, #[case] refused: bool) {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
        assert_eq!(Encoding::is_identity_refused(&headers), refused);
    }

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match encoding {
            Encoding::Identity => out.extend(bytes),
            Encoding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
            Encoding::Brotli => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
            Encoding::Zstd => drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap()),
        }
        out
    }

    struct Lines(usize);

    impl Chunks for Lines {
        fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
            let Some(left) = self.0.checked_sub(1) else { return Ok(None) };
            self.0 = left;
            Ok(Some(format!("line {left} of an export\n").repeat(1000).into()))
        }
    }

    #[rstest]
    fn what_is_encoded_can_be_read_again(
        #[values(Encoding::Identity, Encoding::Gzip, Encoding::Brotli, Encoding::Zstd)] encoding: Encoding,
    ) {
        let whole: Vec<u8> = std::iter::from_fn({
            let mut lines = Lines(5);
            move || lines.next_chunk().unwrap()
        })
        .flatten()
        .collect();

        let once = encoding.encode(whole.clone().into()).unwrap();
        let mut streamed = Encoded::new(Lines(5), encoding).unwrap();
        let chunks: Vec<u8> = std::iter::from_fn(|| streamed.next_chunk().unwrap()).flatten().collect();

        assert_eq!(decoded(encoding, &once), whole);
        assert_eq!(decoded(encoding, &chunks), whole);
    }
}
