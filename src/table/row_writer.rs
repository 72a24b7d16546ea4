//! User-days as lines of text, fast: what does not change from row to row is written once and copied from then on.
//!
//! The fields of a line fall into runs of neighbours that depend on the same thing: the day, the person's profile, the
//! flags, the devices. The text of a run is kept by the number of that thing. Only counters and the time of the last
//! activity are written anew for each row.

use std::cell::LazyCell;

use super::{
    csv,
    directory::{Client, Tables},
    instants::Instants,
    item::{Field, Item, Value},
    partition::Partition,
};
use crate::model::{Day, Geo};

/// Bytes of texts that one writer keeps; what comes after is written anew each time.
const KEPT: usize = 64 << 20;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// A JSON object.
    Ndjson,
    /// A line of CSV.
    Csv,
}

/// Writes rows as lines. Its days are all of one directory.
#[derive(Debug)]
pub struct Lines {
    syntax: Syntax,
    runs: Vec<Run>,
    instants: Instants,
    /// The geo and the day of the row before.
    at: Option<(Geo, Day)>,
    kept: usize,
}

/// Neighbouring fields that depend on the same thing.
#[derive(Debug)]
struct Run {
    source: Source,
    /// Each with what stands in front of its value.
    fields: Vec<(Vec<u8>, Field)>,
    /// By geo, since times carry its offset.
    texts: [Texts; Geo::ALL.len()],
}

/// What a field depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Day,
    Profile,
    Flags,
    Devices,
    Row,
}

/// Texts by number.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    /// Where each begins and ends; an empty one is not there yet.
    places: Vec<(u32, u32)>,
}

impl Lines {
    /// For lines with these fields.
    #[must_use]
    pub fn new(syntax: Syntax, fields: &[Field]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let (source, field) = (Source::of(*field), (lead(syntax, at, *field), *field));
            match runs.last_mut().filter(|run| run.source == source) {
                Some(run) => run.fields.push(field),
                None => runs.push(Run { source, fields: vec![field], texts: Default::default() }),
            }
        }
        Self { syntax, runs, instants: Instants::default(), at: None, kept: 0 }
    }

    /// Writes a row.
    pub fn push(&mut self, out: &mut Vec<u8>, tables: &Tables, day: &Partition, row: usize) {
        self.turn_to(day);
        let mut pen = Pen { syntax: self.syntax, instants: &mut self.instants };
        for run in &mut self.runs {
            run.push(out, &mut pen, &mut self.kept, (tables, day, row));
        }
        out.extend_from_slice(match self.syntax {
            Syntax::Ndjson => b"}\n",
            Syntax::Csv => csv::END,
        });
    }

    /// Forgets the texts of the day before.
    fn turn_to(&mut self, day: &Partition) {
        let at = Some((day.key().geo, day.key().day));
        if self.at != at {
            self.at = at;
            for run in self.runs.iter_mut().filter(|run| run.source == Source::Day) {
                run.texts = Default::default();
            }
        }
    }
}

impl Source {
    const fn of(field: Field) -> Self {
        match field {
            Field::Date | Field::Geo => Self::Day,
            Field::UserId
            | Field::UserName
            | Field::DepartmentName
            | Field::DepartmentPath
            | Field::CreateTime
            | Field::RegisterTime => Self::Profile,
            Field::Flag(_) => Self::Flags,
            Field::Clients | Field::AppPackages | Field::OsNames => Self::Devices,
            Field::LastActiveTime | Field::Counter(_) => Self::Row,
        }
    }

    /// The number of what the row has of it; `None` where each row has its own.
    fn number(self, day: &Partition, row: usize) -> Option<usize> {
        match self {
            Self::Day => Some(0),
            Self::Profile => Some(day.profiles()[row] as usize),
            Self::Flags => Some(day.flags()[row].bits().into()),
            Self::Devices => Some(day.devices()[row] as usize),
            Self::Row => None,
        }
    }
}

impl Run {
    fn push(&mut self, out: &mut Vec<u8>, pen: &mut Pen<'_>, kept: &mut usize, at: (&Tables, &Partition, usize)) {
        let (tables, day, row) = at;
        let texts = &mut self.texts[day.key().geo as usize];
        let number = self.source.number(day, row);
        if let Some(text) = number.and_then(|number| texts.get(number)) {
            out.extend_from_slice(text);
            return;
        }
        let begin = out.len();
        // What a row has of its own stands in the day; a look into the tables is one into memory that is not cached.
        let item = LazyCell::new(|| Item::new(tables, day, row));
        for (lead, field) in &self.fields {
            out.extend_from_slice(lead);
            match field {
                Field::Counter(counter) => Pen::push_count(out, day.counter(*counter).get(row)),
                Field::LastActiveTime => pen.push(out, Value::Instant(day.last_active(row), day.key().geo)),
                field => pen.push(out, item.value(*field)),
            }
        }
        if let Some(number) = number.filter(|_| *kept < KEPT) {
            texts.keep(number, &out[begin..]);
            *kept += out.len() - begin;
        }
    }
}

impl Texts {
    fn get(&self, number: usize) -> Option<&[u8]> {
        let (begin, end) = *self.places.get(number)?;
        (begin < end).then(|| &self.bytes[begin as usize..end as usize])
    }

    fn keep(&mut self, number: usize, text: &[u8]) {
        let end = self.bytes.len() + text.len();
        let (Ok(begin), Ok(end)) = (u32::try_from(self.bytes.len()), u32::try_from(end)) else { return };
        self.bytes.extend_from_slice(text);
        if self.places.len() <= number {
            self.places.resize(number + 1, (0, 0));
        }
        self.places[number] = (begin, end);
    }
}

/// What stands in front of a value.
fn lead(syntax: Syntax, at: usize, field: Field) -> Vec<u8> {
    match syntax {
        Syntax::Ndjson => format!("{}\"{}\":", if at == 0 { '{' } else { ',' }, field.name()).into_bytes(),
        Syntax::Csv => if at == 0 { "" } else { "," }.into(),
    }
}

/// Writes values.
struct Pen<'a> {
    syntax: Syntax,
    instants: &'a mut Instants,
}

impl Pen<'_> {
    fn push_count(out: &mut Vec<u8>, count: u64) {
        out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    }

    fn push(&mut self, out: &mut Vec<u8>, value: Value<'_>) {
        let quote: &[u8] = if self.syntax == Syntax::Ndjson { b"\"" } else { b"" };
        match (value, self.syntax) {
            (Value::Count(count), _) => Self::push_count(out, count),
            (Value::Instant(Some(instant), geo), _) => {
                out.extend_from_slice(quote);
                self.instants.push(out, instant, geo);
                out.extend_from_slice(quote);
            }
            (Value::Instant(None, _) | Value::Text(None), Syntax::Csv) => {}
            (Value::Flag(flag), _) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            (Value::Day(day), Syntax::Csv) => out.extend_from_slice(day.to_string().as_bytes()),
            (Value::Text(Some(text)), Syntax::Csv) => csv::push_text(out, text),
            (Value::Clients(clients), Syntax::Csv) => csv::push_text(out, &joined(clients.iter().map(noted))),
            (Value::Names(names), Syntax::Csv) => csv::push_text(out, &joined(names.iter().map(ToString::to_string))),
            // Writing to memory does not fail.
            (value, Syntax::Ndjson) => drop(serde_json::to_writer(out, &value)),
        }
    }
}

/// A system and its client in upstream's notation: `ios 14.2,feishu 3.40.0`, with `-` for none.
fn noted(client: &Client) -> String {
    let part = |part: &Option<std::sync::Arc<str>>| part.as_deref().unwrap_or("-").to_owned();
    format!("{},{}", part(&client.os), part(&client.client))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(";")
}
