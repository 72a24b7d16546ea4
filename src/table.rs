//! Floor 1: days as columns.
//!
//! A day of 100,000 people is 900 bytes a row as JSON and about 35 as columns whose strings are numbers into one
//! [`Directory`]. People being numbers also makes the days comparable: a set of people is a bitmap.

pub mod builder;
pub mod cell;
pub mod column;
pub mod csv;
pub mod directory;
pub mod instants;
mod interner;
pub mod item;
pub mod lines;
pub mod parquet;
pub mod partition;
pub mod pseudonym;
pub mod schema;
pub mod select;
pub mod view;

pub use builder::{PartitionBuilder, Row};
pub use cell::{Cell, Column, Kind, Record};
pub use directory::{Client, Department, Devices, Directories, Directory, PersonNo, Profile, ProfileNo};
pub use item::{Field, Fields, Item};
pub use lines::{Lines, Syntax};
pub use partition::{Origin, Partition};
pub use schema::{Counter, Feature, Flag, Flags};
pub use select::{Selection, Selector};
pub use view::View;
