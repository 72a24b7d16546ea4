//! A fast writer of rows as lines of JSON or CSV, which caches the texts of repeated values.
//!
//! Consecutive fields that depend on the same attribute of a row (the day, the profile, the flags or the devices) form
//! a group. The text of a group is cached by the index of that attribute. Only counters and the time of the last
//! activity are formatted for every row.

use std::cell::LazyCell;

use super::{
    csv,
    day_table::DayTable,
    dictionary::DictionaryTables,
    instant_formatter::InstantFormatter,
    ndjson,
    row_field::{FieldValue, RowField, RowRef},
};
use crate::model::{Day, Geo};

/// The maximum size of all cached texts of one writer. Above it, new texts are not cached.
const MAX_CACHED_TEXT_BYTES: usize = 64 << 20;

/// The syntax of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSyntax {
    /// A JSON object.
    Ndjson,
    /// A JSON object whose lists are texts, as in CSV.
    FlatNdjson,
    /// A CSV record.
    Csv,
}

/// Writes rows as lines. All days must use the same dictionary.
#[derive(Debug)]
pub struct RowWriter {
    syntax: RowSyntax,
    groups: Vec<FieldGroup>,
    instants: InstantFormatter,
    /// The geo and the day of the row written last.
    current_day: Option<(Geo, Day)>,
    cached_bytes: usize,
}

/// A row with the tables of its dictionary.
#[derive(Clone, Copy)]
struct RowPosition<'a> {
    tables: &'a DictionaryTables,
    day: &'a DayTable,
    row: usize,
}

/// Consecutive fields that depend on the same attribute of a row.
#[derive(Debug)]
struct FieldGroup {
    source: FieldSource,
    fields: Vec<PrefixedField>,
    /// The cached texts by geo, because times contain the offset of the geo.
    texts: [TextCache; Geo::ALL.len()],
}

/// A field with the text before its value.
#[derive(Debug)]
struct PrefixedField {
    prefix: Vec<u8>,
    field: RowField,
}

/// The attribute of a row that a field depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldSource {
    Day,
    Profile,
    Flags,
    Devices,
    Row,
}

/// Cached texts by index.
#[derive(Debug, Default)]
struct TextCache {
    bytes: Vec<u8>,
    ranges: Vec<TextRange>,
}

/// The range of a text in [`TextCache::bytes`]. An empty range means that the text is not cached.
#[derive(Clone, Copy, Debug, Default)]
struct TextRange {
    start: u32,
    end: u32,
}

impl RowWriter {
    /// A writer of lines with these fields.
    #[must_use]
    pub fn new(syntax: RowSyntax, fields: &[RowField]) -> Self {
        let mut groups: Vec<FieldGroup> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let source = FieldSource::of(*field);
            let field = PrefixedField { prefix: value_prefix(syntax, index, *field), field: *field };
            match groups.last_mut().filter(|group| group.source == source) {
                Some(group) => group.fields.push(field),
                None => groups.push(FieldGroup { source, fields: vec![field], texts: Default::default() }),
            }
        }
        Self { syntax, groups, instants: InstantFormatter::default(), current_day: None, cached_bytes: 0 }
    }

    /// Appends a row to `out`. `tables` are those of the day's dictionary.
    pub fn push(&mut self, out: &mut Vec<u8>, tables: &DictionaryTables, day: &DayTable, row: usize) {
        self.start_day(day);
        let mut writer = FieldWriter { syntax: self.syntax, instants: &mut self.instants };
        for group in &mut self.groups {
            group.push(out, &mut writer, &mut self.cached_bytes, RowPosition { tables, day, row });
        }
        out.extend_from_slice(match self.syntax {
            RowSyntax::Ndjson | RowSyntax::FlatNdjson => b"}\n",
            RowSyntax::Csv => csv::LINE_END,
        });
    }

    /// Removes the cached texts of the previous day if `day` is another day.
    fn start_day(&mut self, day: &DayTable) {
        let current_day = Some((day.key().geo, day.key().day));
        if self.current_day != current_day {
            self.current_day = current_day;
            for group in self.groups.iter_mut().filter(|group| group.source == FieldSource::Day) {
                group.texts = Default::default();
            }
        }
    }
}

impl FieldSource {
    const fn of(field: RowField) -> Self {
        match field {
            RowField::Date | RowField::Geo => Self::Day,
            RowField::UserId
            | RowField::UserName
            | RowField::DepartmentName
            | RowField::DepartmentPath
            | RowField::CreateTime
            | RowField::RegisterTime => Self::Profile,
            RowField::Flag(_) => Self::Flags,
            RowField::Clients | RowField::AppPackages | RowField::OsNames => Self::Devices,
            RowField::LastActiveTime | RowField::Counter(_) => Self::Row,
        }
    }

    /// The index of the attribute's value in a row. `None` if the value is not cached, because it differs between rows.
    fn index(self, day: &DayTable, row: usize) -> Option<usize> {
        match self {
            Self::Day => Some(0),
            Self::Profile => Some(day.profiles()[row] as usize),
            Self::Flags => Some(day.flags()[row].bits().into()),
            Self::Devices => Some(day.devices()[row] as usize),
            Self::Row => None,
        }
    }
}

impl FieldGroup {
    fn push(
        &mut self,
        out: &mut Vec<u8>,
        writer: &mut FieldWriter<'_>,
        cached_bytes: &mut usize,
        position: RowPosition<'_>,
    ) {
        let RowPosition { tables, day, row } = position;
        let texts = &mut self.texts[day.key().geo as usize];
        let index = self.source.index(day, row);
        if let Some(text) = index.and_then(|index| texts.get(index)) {
            out.extend_from_slice(text);
            return;
        }
        let start = out.len();
        // Counters and the last activity are read from the day alone, because reading the dictionary often misses the
        // CPU cache.
        let row_ref = LazyCell::new(|| RowRef::new(tables, day, row));
        for PrefixedField { prefix, field } in &self.fields {
            out.extend_from_slice(prefix);
            match field {
                RowField::Counter(counter) => FieldWriter::push_count(out, day.counter(*counter).get(row)),
                RowField::LastActiveTime => {
                    writer.push(out, FieldValue::Instant(day.last_active(row), day.key().geo));
                }
                field => writer.push(out, row_ref.value(*field)),
            }
        }
        if let Some(index) = index.filter(|_| *cached_bytes < MAX_CACHED_TEXT_BYTES) {
            texts.insert(index, &out[start..]);
            *cached_bytes += out.len() - start;
        }
    }
}

impl TextCache {
    fn get(&self, index: usize) -> Option<&[u8]> {
        let TextRange { start, end } = *self.ranges.get(index)?;
        (start < end).then(|| &self.bytes[start as usize..end as usize])
    }

    fn insert(&mut self, index: usize, text: &[u8]) {
        let end = self.bytes.len() + text.len();
        let (Ok(start), Ok(end)) = (u32::try_from(self.bytes.len()), u32::try_from(end)) else { return };
        self.bytes.extend_from_slice(text);
        if self.ranges.len() <= index {
            self.ranges.resize(index + 1, TextRange::default());
        }
        self.ranges[index] = TextRange { start, end };
    }
}

/// The text before the value of the field number `index` of a line.
fn value_prefix(syntax: RowSyntax, index: usize, field: RowField) -> Vec<u8> {
    match syntax {
        RowSyntax::Ndjson | RowSyntax::FlatNdjson => {
            format!("{}\"{}\":", if index == 0 { '{' } else { ',' }, field.name()).into_bytes()
        }
        RowSyntax::Csv => if index == 0 { "" } else { "," }.into(),
    }
}

/// Writes the values of fields.
struct FieldWriter<'a> {
    syntax: RowSyntax,
    instants: &'a mut InstantFormatter,
}

impl FieldWriter<'_> {
    fn push_count(out: &mut Vec<u8>, count: u64) {
        out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    }

    fn push(&mut self, out: &mut Vec<u8>, value: FieldValue<'_>) {
        let quote: &[u8] = if self.syntax == RowSyntax::Csv { b"" } else { b"\"" };
        match (value, self.syntax) {
            (FieldValue::Count(count), _) => Self::push_count(out, count),
            (FieldValue::Instant(Some(instant), geo), _) => {
                out.extend_from_slice(quote);
                self.instants.push(out, instant, geo);
                out.extend_from_slice(quote);
            }
            (FieldValue::Flag(flag), _) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            (value, RowSyntax::Csv) => value.with_cell(|cell| csv::push_cell(out, cell)),
            (value, RowSyntax::FlatNdjson) => value.with_cell(|cell| ndjson::push_value(out, &cell)),
            (value, RowSyntax::Ndjson) => ndjson::push_value(out, &value),
        }
    }
}
