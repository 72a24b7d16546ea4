//! The schema of a user-day, made from the same list of fields as the rows themselves.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{ArrayBuilder, KnownFormat, Schema, SchemaFormat, SchemaType},
    },
};

use crate::table::Field;

/// One person's day: Feishu's fields under Feishu's names, with their types mended.
#[derive(Debug)]
pub struct UserDay;

impl PartialSchema for UserDay {
    fn schema() -> RefOr<Schema> {
        let fields =
            Field::all().fold(ObjectBuilder::new(), |object, field| object.property(field.name(), schema(field)));
        let description = "One person's day: Feishu's fields under Feishu's names, with their types mended. With \
            `fields=`, only those.";
        fields.description(Some(description)).into()
    }
}

impl ToSchema for UserDay {}

fn schema(field: Field) -> RefOr<Schema> {
    let described = ObjectBuilder::new().description(Some(field.describe()));
    let list = |of: RefOr<Schema>| ArrayBuilder::new().items(of).description(Some(field.describe())).into();
    match field {
        Field::Date => text(described).format(Some(format(KnownFormat::Date))).into(),
        Field::Geo | Field::UserName | Field::DepartmentName | Field::DepartmentPath => text(described).into(),
        Field::UserId => nullable(described).into(),
        Field::CreateTime | Field::RegisterTime | Field::LastActiveTime => {
            nullable(described).format(Some(format(KnownFormat::DateTime))).into()
        }
        Field::Flag(_) => described.schema_type(Type::Boolean).into(),
        Field::Counter(_) => described.schema_type(Type::Integer).format(Some(format(KnownFormat::Int64))).into(),
        Field::Clients => list(client()),
        Field::AppPackages | Field::OsNames => list(text(ObjectBuilder::new()).into()),
    }
}

fn client() -> RefOr<Schema> {
    let part = |what: &str| nullable(ObjectBuilder::new().description(Some(what)));
    ObjectBuilder::new()
        .property("os", part("the system and its version, such as `ios 14.2`"))
        .property("client", part("the Feishu client and its version, such as `feishu 3.40.0`"))
        .into()
}

fn text(object: ObjectBuilder) -> ObjectBuilder {
    object.schema_type(Type::String)
}

fn nullable(object: ObjectBuilder) -> ObjectBuilder {
    object.schema_type(SchemaType::from_iter([Type::String, Type::Null]))
}

const fn format(format: KnownFormat) -> SchemaFormat {
    SchemaFormat::KnownFormat(format)
}
