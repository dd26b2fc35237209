//! How lists are cut: an opaque cursor names the last row of a page, so that rows added meanwhile shift nothing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ArrayBuilder, Object, ObjectBuilder, Ref, RefOr, Schema, Type},
};

/// The rows of a page when the caller names no limit.
pub const DEFAULT_LIMIT: u32 = 100;
/// The most rows of a page: bounds the memory that one request can ask for.
pub const MAX_LIMIT: u32 = 1000;

/// The query of every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the page before; none for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most rows wanted, 1 to 1000; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The number of rows to read, inside the allowed bounds.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }
}

/// One page of a list. In the OpenAPI document a page of `BuildView` is a `BuildPage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// The cursor of the next page; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        let cursor = Object::with_type(Type::String);
        ObjectBuilder::new()
            .description(Some("One page of a list."))
            .property("items", items)
            .required("items")
            .property(
                "next",
                ObjectBuilder::from(cursor)
                    .description(Some("The cursor of the next page; none at the end.")),
            )
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        let item = T::name();
        format!("{}Page", item.strip_suffix("View").unwrap_or(&item)).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> Page<T> {
    /// Cuts `rows` (read with one row more than `limit`) and names the last row kept by `cursor`.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = more.then(|| rows.last().map(cursor)).flatten();
        Self { items: rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, PageQuery};

    #[test]
    fn last_page_has_no_cursor() {
        let page = Page::cut(vec![1, 2], 2, ToString::to_string);
        assert_eq!((page.items, page.next), (vec![1, 2], None));
    }

    #[test]
    fn cursor_names_the_last_row_kept() {
        let page = Page::cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
    }

    #[test]
    fn absurd_limits_are_clamped() {
        let rows = |limit| PageQuery { after: None, limit }.rows();
        assert_eq!(
            (rows(Some(0)), rows(Some(u32::MAX)), rows(None)),
            (1, 1000, 100)
        );
    }
}
