//! The OpenAPI schema of a user-day, generated from the list of fields that also produces the rows.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{ArrayBuilder, KnownFormat, Schema, SchemaFormat, SchemaType},
    },
};

use crate::table::RowField;

/// One row: one person on one day. Feishu's fields under Feishu's names, with corrected types.
#[derive(Debug)]
pub struct UserDay;

impl PartialSchema for UserDay {
    fn schema() -> RefOr<Schema> {
        let fields =
            RowField::all().fold(ObjectBuilder::new(), |object, field| object.property(field.name(), schema(field)));
        let description = "One row: one person on one day. The fields and their names are Feishu's, with corrected \
            types. `fields` selects a subset.";
        fields.description(Some(description)).into()
    }
}

impl ToSchema for UserDay {}

fn schema(field: RowField) -> RefOr<Schema> {
    let described = ObjectBuilder::new().description(Some(field.describe()));
    let list = |of: RefOr<Schema>| ArrayBuilder::new().items(of).description(Some(field.describe())).into();
    match field {
        RowField::Date => text(described).format(Some(format(KnownFormat::Date))).into(),
        RowField::Geo | RowField::UserName | RowField::DepartmentName | RowField::DepartmentPath => {
            text(described).into()
        }
        RowField::UserId => nullable(described).into(),
        RowField::CreateTime | RowField::RegisterTime | RowField::LastActiveTime => {
            nullable(described).format(Some(format(KnownFormat::DateTime))).into()
        }
        RowField::Flag(_) => described.schema_type(Type::Boolean).into(),
        RowField::Counter(_) => described.schema_type(Type::Integer).format(Some(format(KnownFormat::Int64))).into(),
        RowField::Clients => list(UserDayClient::schema()),
        RowField::AppPackages | RowField::OsNames => list(text(ObjectBuilder::new()).into()),
    }
}

/// An operating system with the Feishu client on it.
#[derive(Debug)]
pub struct UserDayClient;

impl PartialSchema for UserDayClient {
    fn schema() -> RefOr<Schema> {
        let part = |what: &str| nullable(ObjectBuilder::new().description(Some(what)));
        ObjectBuilder::new()
            .description(Some("An operating system with the Feishu client on it."))
            .property("os", part("Operating system and version, such as `ios 14.2`"))
            .property("client", part("Feishu client and version, such as `feishu 3.40.0`"))
            .into()
    }
}

impl ToSchema for UserDayClient {}

fn text(object: ObjectBuilder) -> ObjectBuilder {
    object.schema_type(Type::String)
}

fn nullable(object: ObjectBuilder) -> ObjectBuilder {
    object.schema_type(SchemaType::from_iter([Type::String, Type::Null]))
}

const fn format(format: KnownFormat) -> SchemaFormat {
    SchemaFormat::KnownFormat(format)
}
