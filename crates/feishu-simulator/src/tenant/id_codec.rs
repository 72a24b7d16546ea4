//! The ids of people and departments: computed from numbers, and read back without a table.

use crate::{
    model::{Geo, UserIdType},
    sim::{
        chance::{mix, mix_text},
        permutation::Permutation,
    },
};

/// Bits of a person's number within a geo; the geo's number lies above them.
const PERSON_BITS: u32 = 30;

/// Makes ids, and reads them back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Badges {
    seed: u64,
}

impl Badges {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The id of person `person` of `geo`: `ou_…`, `on_…` or eight hexadecimal digits.
    pub(crate) fn user(self, kind: UserIdType, geo: Geo, person: u32) -> String {
        let number = (geo_number(geo) << PERSON_BITS) | u64::from(person);
        match kind {
            UserIdType::OpenId => self.long("ou_", number),
            UserIdType::UnionId => self.long("on_", number),
            UserIdType::UserId => format!("{:08x}", self.short().apply(number)),
        }
    }

    /// Whose id this is. It may be nobody's still: the tenant knows how many people there are.
    pub(crate) fn person(self, kind: UserIdType, id: &str) -> Option<(Geo, u32)> {
        let number = match kind {
            UserIdType::OpenId => self.read_long("ou_", id)?,
            UserIdType::UnionId => self.read_long("on_", id)?,
            UserIdType::UserId => self.short().undo(read_hex(id, 8)?),
        };
        let geo = Geo::ALL.into_iter().find(|geo| geo_number(*geo) == number >> PERSON_BITS)?;
        let person = u32::try_from(number & ((1 << PERSON_BITS) - 1)).ok()?;
        Some((geo, person))
    }

    /// The `open_department_id` of department `number`: `od-…`.
    pub(crate) fn open_department(self, number: usize) -> String {
        self.long("od-", number as u64)
    }

    /// The `department_id` of department `number`: twelve hexadecimal digits.
    pub(crate) fn department(self, number: usize) -> String {
        format!("{:012x}", mix(&[self.seed, mix_text("department"), number as u64]) >> 16)
    }

    fn short(self) -> Permutation {
        Permutation::new(mix(&[self.seed, mix_text("user_id")]), 16)
    }

    /// 32 hexadecimal digits: the number in disguise, then proof that it was made here.
    fn long(self, prefix: &str, number: u64) -> String {
        let disguised = self.disguise(prefix).apply(number);
        format!("{prefix}{disguised:016x}{:016x}", self.proof(prefix, disguised))
    }

    fn read_long(self, prefix: &str, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(prefix).filter(|digits| digits.len() == 32 && digits.is_ascii())?;
        let (disguised, proof) = digits.split_at(16);
        let (disguised, proof) = (read_hex(disguised, 16)?, read_hex(proof, 16)?);
        (proof == self.proof(prefix, disguised)).then(|| self.disguise(prefix).undo(disguised))
    }

    fn disguise(self, prefix: &str) -> Permutation {
        Permutation::new(mix(&[self.seed, mix_text(prefix)]), 32)
    }

    fn proof(self, prefix: &str, disguised: u64) -> u64 {
        mix(&[self.seed, mix_text(prefix), mix_text("proof"), disguised])
    }
}

/// A geo's number: part of its people's ids and of their chance.
pub(crate) const fn geo_number(geo: Geo) -> u64 {
    match geo {
        Geo::Cn => 0,
        Geo::Us => 1,
        Geo::Sg => 2,
        Geo::Jp => 3,
    }
}

/// Exactly `length` lower-case hexadecimal digits.
fn read_hex(text: &str, length: usize) -> Option<u64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (plain && text.len() == length).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_leads_back_to_its_person() {
        let badges = Badges::new(5);

        for kind in UserIdType::ALL {
            for geo in Geo::ALL {
                for person in [0, 1, 99_999] {
                    assert_eq!(badges.person(kind, &badges.user(kind, geo, person)), Some((geo, person)));
                }
            }
        }
    }

    #[test]
    fn an_id_is_of_one_kind_and_cannot_be_guessed() {
        let badges = Badges::new(5);
        let open_id = badges.user(UserIdType::OpenId, Geo::Cn, 7);

        for wrong in [&open_id.replace("ou_", "on_"), &open_id[..20], "ou_", "", &open_id.to_uppercase(), "ou_🚀"] {
            assert_eq!(badges.person(UserIdType::UnionId, wrong), None);
        }
        assert_eq!(Badges::new(6).person(UserIdType::OpenId, &open_id), None);
    }
}
