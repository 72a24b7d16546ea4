//! The ids of people and departments. They encode a number and can be decoded without a table.

use crate::{
    TenantGeo, UserIdKind,
    permutation::Permutation,
    seeded_rng::{hash_parts, hash_text},
};

/// Bits of a person's number. The bits above contain the number of the geo.
const PERSON_BITS: u32 = 30;

/// A person of the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PersonKey {
    pub(crate) geo: TenantGeo,
    /// The number of the person within the geo, from 0.
    pub(crate) number: u32,
}

/// Encodes and decodes ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdCodec {
    seed: u64,
}

impl IdCodec {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The id of a person: `ou_…`, `on_…` or eight hexadecimal digits.
    pub(crate) fn encode_user(self, kind: UserIdKind, person: PersonKey) -> String {
        let number = (geo_number(person.geo) << PERSON_BITS) | u64::from(person.number);
        match kind {
            UserIdKind::OpenId => self.encode_long("ou_", number),
            UserIdKind::UnionId => self.encode_long("on_", number),
            UserIdKind::UserId => format!("{:08x}", self.short_permutation().apply(number)),
        }
    }

    /// Decodes the id of a person. The number may exceed the number of people of the tenant.
    pub(crate) fn decode_user(self, kind: UserIdKind, id: &str) -> Option<PersonKey> {
        let number = match kind {
            UserIdKind::OpenId => self.decode_long("ou_", id)?,
            UserIdKind::UnionId => self.decode_long("on_", id)?,
            UserIdKind::UserId => self.short_permutation().invert(parse_hex(id, 8)?),
        };
        let geo = TenantGeo::ALL.into_iter().find(|geo| geo_number(*geo) == number >> PERSON_BITS)?;
        let number = u32::try_from(number & ((1 << PERSON_BITS) - 1)).ok()?;
        Some(PersonKey { geo, number })
    }

    /// The `open_department_id` of department `number`: `od-…`.
    pub(crate) fn open_department_id(self, number: usize) -> String {
        self.encode_long("od-", number as u64)
    }

    /// The `department_id` of department `number`: twelve hexadecimal digits.
    pub(crate) fn department_id(self, number: usize) -> String {
        format!("{:012x}", hash_parts(&[self.seed, hash_text("department"), number as u64]) >> 16)
    }

    fn short_permutation(self) -> Permutation {
        Permutation::new(hash_parts(&[self.seed, hash_text("user_id")]), 16)
    }

    /// 32 hexadecimal digits: the permuted number, then a checksum, so that a guessed id is rejected.
    fn encode_long(self, prefix: &str, number: u64) -> String {
        let permuted = self.long_permutation(prefix).apply(number);
        format!("{prefix}{permuted:016x}{:016x}", self.checksum(prefix, permuted))
    }

    fn decode_long(self, prefix: &str, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(prefix).filter(|digits| digits.len() == 32 && digits.is_ascii())?;
        let (permuted, checksum) = digits.split_at(16);
        let (permuted, checksum) = (parse_hex(permuted, 16)?, parse_hex(checksum, 16)?);
        (checksum == self.checksum(prefix, permuted)).then(|| self.long_permutation(prefix).invert(permuted))
    }

    fn long_permutation(self, prefix: &str) -> Permutation {
        Permutation::new(hash_parts(&[self.seed, hash_text(prefix)]), 32)
    }

    fn checksum(self, prefix: &str, permuted: u64) -> u64 {
        hash_parts(&[self.seed, hash_text(prefix), hash_text("proof"), permuted])
    }
}

/// The number of a geo, as part of ids and random seeds.
pub(crate) const fn geo_number(geo: TenantGeo) -> u64 {
    match geo {
        TenantGeo::Cn => 0,
        TenantGeo::Us => 1,
        TenantGeo::Sg => 2,
        TenantGeo::Jp => 3,
    }
}

/// Parses exactly `length` lower-case hexadecimal digits.
fn parse_hex(text: &str, length: usize) -> Option<u64> {
    let is_lower_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_lower_hex && text.len() == length).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_decodes_to_its_person() {
        let codec = IdCodec::new(5);

        for kind in UserIdKind::ALL {
            for geo in TenantGeo::ALL {
                for number in [0, 1, 99_999] {
                    let person = PersonKey { geo, number };
                    assert_eq!(codec.decode_user(kind, &codec.encode_user(kind, person)), Some(person));
                }
            }
        }
    }

    #[test]
    fn an_id_is_of_one_kind_and_cannot_be_guessed() {
        let codec = IdCodec::new(5);
        let open_id = codec.encode_user(UserIdKind::OpenId, PersonKey { geo: TenantGeo::Cn, number: 7 });

        for wrong in [&open_id.replace("ou_", "on_"), &open_id[..20], "ou_", "", &open_id.to_uppercase(), "ou_🚀"] {
            assert_eq!(codec.decode_user(UserIdKind::UnionId, wrong), None);
        }
        assert_eq!(IdCodec::new(6).decode_user(UserIdKind::OpenId, &open_id), None);
    }
}
