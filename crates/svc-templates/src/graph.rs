//! Reads an account's templates from the Graph API, page by page. The address of the next page is
//! never followed as given: only its cursor is taken, so that the token goes nowhere else.

use std::collections::BTreeMap;

use lib_platform::outbound;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Config;
use crate::store::Record;

/// What is asked for of each template.
const FIELDS: &str =
    "id,name,status,category,language,quality_score,rejected_reason,components,parameter_format";
/// Most pages read. Meta's own limit is 6,000 templates in an account.
const MOST_PAGES: usize = 1_000;
/// Largest page taken in: 1,000 templates with every component at its limit stay below it.
const MOST_BYTES: usize = 32 << 20;

/// Why an account's templates cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GraphError {
    /// No answer, or one that makes no sense; worth another try.
    #[error("Meta cannot be read now: {0}")]
    Unreachable(String),
    /// Meta answers with an error that another try does not cure.
    #[error("Meta refuses to list the templates: {code} {message}")]
    Refused {
        /// Meta's number.
        code: i64,
        /// Meta's words.
        message: String,
    },
}

/// A client for one Graph API. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    http: reqwest::Client,
    base: String,
    page_size: u32,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Default, Deserialize)]
struct Paging {
    #[serde(default)]
    cursors: Cursors,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Default, Deserialize)]
struct Cursors {
    #[serde(default)]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    id: Value,
    name: String,
    language: String,
    status: String,
    category: String,
    #[serde(default)]
    quality_score: Option<Quality>,
    #[serde(default)]
    rejected_reason: Option<String>,
    #[serde(default)]
    components: Option<Box<RawValue>>,
    #[serde(default)]
    parameter_format: Option<String>,
}

#[derive(Deserialize)]
struct Quality {
    #[serde(default)]
    score: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorWords,
}

#[derive(Deserialize)]
struct ErrorWords {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

impl From<Listed> for Record {
    fn from(listed: Listed) -> Self {
        let reason = listed.rejected_reason.unwrap_or_default();
        Self {
            name: listed.name,
            language: listed.language,
            category: listed.category.to_uppercase(),
            status: listed.status.to_uppercase(),
            meta_id: match listed.id {
                Value::String(id) => id,
                Value::Number(id) => id.to_string(),
                _ => String::new(),
            },
            components: listed
                .components
                .map_or_else(|| "[]".to_owned(), |raw| raw.get().to_owned()),
            quality: listed
                .quality_score
                .map(|quality| quality.score)
                .unwrap_or_default(),
            rejected_reason: if reason == "NONE" {
                String::new()
            } else {
                reason
            },
            parameter_format: listed
                .parameter_format
                .map_or_else(|| "positional".to_owned(), |format| format.to_lowercase()),
        }
    }
}

impl Graph {
    /// A client for the Graph API of `config`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            http: outbound::client(config.http_timeout)?,
            base: format!(
                "{}/{}",
                config.graph_url.trim_end_matches('/'),
                config.graph_version
            ),
            page_size: config.page_size.clamp(1, 1_000),
        })
    }

    /// Every template of an account, by name and language.
    pub(crate) async fn templates(
        &self,
        waba_id: &str,
        token: &str,
    ) -> Result<BTreeMap<(String, String), Record>, GraphError> {
        let mut all = BTreeMap::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(waba_id, token, after.as_deref()).await?;
            all.extend(page.data.into_iter().map(|listed| {
                let record = Record::from(listed);
                ((record.name.clone(), record.language.clone()), record)
            }));
            let Some(next) = next_cursor(page.paging) else {
                return Ok(all);
            };
            if after.as_ref() == Some(&next) {
                let problem = "its pages do not come to an end";
                return Err(GraphError::Unreachable(problem.to_owned()));
            }
            after = Some(next);
        }
        Err(GraphError::Unreachable(format!(
            "there are more than {MOST_PAGES} pages"
        )))
    }

    async fn page(
        &self,
        waba_id: &str,
        token: &str,
        after: Option<&str>,
    ) -> Result<Page, GraphError> {
        let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {token}")) else {
            return Err(GraphError::Refused {
                code: 0,
                message: "the stored access token is not plain text".to_owned(),
            });
        };
        bearer.set_sensitive(true);
        let limit = self.page_size.to_string();
        let mut query = vec![("fields", FIELDS), ("limit", &limit)];
        query.extend(after.map(|after| ("after", after)));
        let request = self
            .http
            .get(format!("{}/{waba_id}/message_templates", self.base))
            .header(AUTHORIZATION, bearer)
            .query(&query);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(GraphError::Unreachable("a page is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                GraphError::Unreachable(format!("a page cannot be read: {error}"))
            });
        }
        Err(refusal(status.as_u16(), &bytes))
    }
}

/// The cursor of the next page. Meta gives `cursors.after` on the last page too: only `next` says
/// that there is one.
fn next_cursor(paging: Paging) -> Option<String> {
    let next = paging.next?;
    paging.cursors.after.or_else(|| {
        let (_, query) = next.split_once('?')?;
        let after = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("after="))?;
        Some(after.to_owned())
    })
}

fn unreachable(error: reqwest::Error) -> GraphError {
    GraphError::Unreachable(error.without_url().to_string())
}

/// Meta's error, by what can be done about it (section 2.6 of its error list): rate limits and its
/// own faults pass, the rest needs a person.
fn refusal(status: u16, bytes: &[u8]) -> GraphError {
    match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(body) if !matches!(body.error.code, 1 | 2 | 4 | 80_007 | 131_000 | 131_016) => {
            GraphError::Refused {
                code: body.error.code,
                message: body.error.message,
            }
        }
        Ok(body) => GraphError::Unreachable(format!("{} {}", body.error.code, body.error.message)),
        Err(_) => GraphError::Unreachable(format!("it answers {status} without an error body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_next_says_that_there_is_a_next_page() {
        let read = |text: &str| next_cursor(serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"cursors":{"before":"a","after":"b"}}"#), None);
        let both = r#"{"cursors":{"after":"b"},"next":"https://x/?after=b"}"#;
        assert_eq!(read(both).as_deref(), Some("b"));
        let bare = r#"{"next":"https://x/?limit=2&after=c&y=1"}"#;
        assert_eq!(read(bare).as_deref(), Some("c"));
    }
}
