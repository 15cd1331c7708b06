//! Lists as RabbitMQ has them: all of it, or a page by its number

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer::{Refused, answer};

/// What a request asks of such a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Which page, from 1, and how many items it has; `None`: all of them at once.
    page: Option<(usize, usize)>,
    /// Only items whose name has this in it.
    name: Option<String>,
}

impl Listing {
    /// `page=1&page_size=100&name=text`
    ///
    /// # Errors
    ///
    /// What cannot be asked.
    pub(crate) fn read(query: &str) -> Result<Self, Refused> {
        let (mut page, mut size, mut name) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = |max: usize| {
                let number = value.parse().ok().filter(|number| (1..=max).contains(number));
                number.ok_or_else(|| bad(format!("{key}={value}: a number from 1 to {max} is wanted")))
            };
            match &*key {
                "page" => page = Some(number(usize::MAX)?),
                "page_size" => size = Some(number(PAGE_MAX)?),
                "name" => name = Some(value.into_owned()).filter(|name| !name.is_empty()),
                // What RabbitMQ's own tools send along, and what needs no answer.
                "use_regex" if value == "false" => {}
                "pagination" | "disable_stats" | "enable_queue_totals" => {}
                other => {
                    return Err(bad(format!("there is no {other:?}; there are page, page_size and name")));
                }
            }
        }
        let page = match (page, size) {
            (None, None) => None,
            (page, size) => Some((page.unwrap_or(1), size.unwrap_or(PAGE))),
        };
        Ok(Self { page, name })
    }

    /// The answer: of `all`, those that are wanted, each as `write` has it.
    pub(crate) fn of<T>(
        &self,
        all: Vec<T>,
        name: impl Fn(&T) -> &str,
        write: impl Fn(&T) -> Value,
    ) -> Response {
        let total = all.len();
        let wanted: Vec<T> = all
            .into_iter()
            .filter(|one| self.name.as_deref().is_none_or(|part| name(one).contains(part)))
            .collect();
        let Some((page, size)) = self.page else {
            let items: Vec<Value> = wanted.iter().map(write).collect();
            return answer(StatusCode::OK, &items);
        };
        let skipped = size.saturating_mul(page - 1);
        let items: Vec<Value> = wanted.iter().skip(skipped).take(size).map(write).collect();
        let value = json!({
            "total_count": total,
            "filtered_count": wanted.len(),
            "item_count": items.len(),
            "page": page,
            "page_size": size,
            "page_count": wanted.len().div_ceil(size).max(1),
            "items": items,
        });
        answer(StatusCode::OK, &value)
    }
}

fn bad(reason: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, reason)
}

/// RabbitMQ's.
const PAGE: usize = 100;
/// RabbitMQ's.
const PAGE_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_by_number() {
        let read = |query: &str| Listing::read(query).unwrap();
        assert_eq!(read(""), Listing::default());
        assert_eq!(read("page=2").page, Some((2, 100)));
        assert_eq!(
            read("page_size=500&name=a%20b&use_regex=false"),
            Listing { page: Some((1, 500)), name: Some("a b".into()) }
        );
        for wrong in ["page=0", "page=x", "page_size=501", "use_regex=true", "sort=name"] {
            assert!(Listing::read(wrong).is_err(), "{wrong}");
        }
    }
}
