//! A column of counter values in the narrowest integer type that fits its largest value.

/// Unsigned values, one per row. On most days most counters fit one byte, and many are zero in all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CounterColumn {
    /// All values are zero. Uses no heap memory.
    #[default]
    Zero,
    /// Values up to 255.
    U8(Box<[u8]>),
    /// Values up to 65,535.
    U16(Box<[u16]>),
    /// Values up to 4,294,967,295.
    U32(Box<[u32]>),
    /// Larger values.
    U64(Box<[u64]>),
}

impl CounterColumn {
    /// Stores the values in the narrowest type that fits all of them.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the type is chosen by the largest value")]
    pub fn pack(values: &[u64]) -> Self {
        match values.iter().copied().max().unwrap_or(0) {
            0 => Self::Zero,
            max if u8::try_from(max).is_ok() => Self::U8(values.iter().map(|value| *value as u8).collect()),
            max if u16::try_from(max).is_ok() => Self::U16(values.iter().map(|value| *value as u16).collect()),
            max if u32::try_from(max).is_ok() => Self::U32(values.iter().map(|value| *value as u32).collect()),
            _ => Self::U64(values.into()),
        }
    }

    /// The value in a row.
    ///
    /// # Panics
    /// If a row does not exist, unless the column is [`CounterColumn::Zero`].
    #[must_use]
    pub fn get(&self, row: usize) -> u64 {
        match self {
            Self::Zero => 0,
            Self::U8(values) => u64::from(values[row]),
            Self::U16(values) => u64::from(values[row]),
            Self::U32(values) => u64::from(values[row]),
            Self::U64(values) => values[row],
        }
    }

    /// Calls `each` with every row and its value. Does not call it if the column is [`CounterColumn::Zero`].
    pub fn for_each(&self, each: impl FnMut(usize, u64)) {
        fn for_all<T: Copy + Into<u64>>(values: &[T], mut each: impl FnMut(usize, u64)) {
            for (row, value) in values.iter().enumerate() {
                each(row, (*value).into());
            }
        }
        // One match for the whole column is faster than one for each row.
        match self {
            Self::Zero => {}
            Self::U8(values) => for_all(values, each),
            Self::U16(values) => for_all(values, each),
            Self::U32(values) => for_all(values, each),
            Self::U64(values) => for_all(values, each),
        }
    }

    /// Calls `each` with the value of each of these rows, in this order.
    ///
    /// # Panics
    /// If a row does not exist, unless the column is [`CounterColumn::Zero`].
    pub fn for_each_in(&self, rows: &[usize], mut each: impl FnMut(u64)) {
        match self {
            Self::Zero => rows.iter().for_each(|_| each(0)),
            Self::U8(values) => rows.iter().for_each(|row| each(values[*row].into())),
            Self::U16(values) => rows.iter().for_each(|row| each(values[*row].into())),
            Self::U32(values) => rows.iter().for_each(|row| each(values[*row].into())),
            Self::U64(values) => rows.iter().for_each(|row| each(values[*row])),
        }
    }

    /// The sum over all rows. Saturates at `u64::MAX`.
    #[must_use]
    pub fn sum(&self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::U8(values) => values.iter().map(|value| u64::from(*value)).sum(),
            Self::U16(values) => values.iter().map(|value| u64::from(*value)).sum(),
            Self::U32(values) => values.iter().map(|value| u64::from(*value)).sum(),
            Self::U64(values) => values.iter().fold(0, |sum, value| sum.saturating_add(*value)),
        }
    }

    /// The heap memory of the column in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Zero => 0,
            Self::U8(values) => size_of_val(&**values),
            Self::U16(values) => size_of_val(&**values),
            Self::U32(values) => size_of_val(&**values),
            Self::U64(values) => size_of_val(&**values),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_column_returns_the_values_that_were_packed(
            shift in 0_u32..64, values in proptest::collection::vec(any::<u64>(), 0..50),
        ) {
            let values: Vec<u64> = values.iter().map(|value| value >> shift).collect();
            let column = CounterColumn::pack(&values);
            prop_assert!(values.iter().enumerate().all(|(row, value)| column.get(row) == *value));
            let mut visited = vec![0; values.len()];
            column.for_each(|row, value| visited[row] = value);
            prop_assert_eq!(&visited, &values);
            let reversed_rows: Vec<usize> = (0..values.len()).rev().collect();
            let mut picked = Vec::new();
            column.for_each_in(&reversed_rows, |value| picked.push(value));
            prop_assert!(picked.iter().eq(values.iter().rev()));
            prop_assert_eq!(column.sum(), values.iter().fold(0_u64, |sum, value| sum.saturating_add(*value)));
        }
    }

    #[test]
    fn a_column_uses_the_narrowest_type_for_its_values() {
        assert_eq!(CounterColumn::pack(&[0; 100]).heap_bytes(), 0);
        assert_eq!(CounterColumn::pack(&[255; 100]).heap_bytes(), 100);
        assert_eq!(CounterColumn::pack(&[256; 100]).heap_bytes(), 200);
    }
}
