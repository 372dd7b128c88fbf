//! Templates: created, reviewed, listed, deleted.

use std::time::Duration;

use serde_json::Value;

use super::{Document, Due, World};
use crate::graph::error::GraphError;
use crate::identity;
use crate::payload;
use crate::state::{Template, TemplateStatus};
use crate::template::definition;

/// How long the name of a deleted template is blocked.
const NAME_BLOCKED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A template to create.
#[derive(Clone, Debug)]
pub(crate) struct NewTemplate {
    pub(crate) account: String,
    pub(crate) definition: Value,
    /// How the review ends at once; `None` leaves it open.
    pub(crate) review: Option<TemplateStatus>,
    /// Whether the review ends by itself after a while.
    pub(crate) review_follows: bool,
}

/// Which templates to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct TemplateFilter {
    pub(crate) account: String,
    pub(crate) name: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) category: Option<String>,
    /// Only those after this id.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

impl World {
    /// Takes a template in for review.
    pub(crate) fn create_template(&mut self, new: NewTemplate) -> Result<Template, GraphError> {
        let definition = definition(&new.definition)?;
        let now = self.now;
        let same = self.templates.values().find(|template| {
            template.account == new.account
                && template.name == definition.name
                && template.language == definition.language
                && template
                    .deleted_at
                    .is_none_or(|deleted| now < deleted.plus(NAME_BLOCKED))
        });
        if let Some(same) = same {
            return Err(if same.deleted_at.is_some() {
                GraphError::template(2_388_023, "Message template language is being deleted")
            } else {
                GraphError::template(2_388_024, "Content in this language already exists")
            });
        }
        self.counters.templates += 1;
        self.touch(Document::Counters);
        let review_at = (new.review.is_none() && new.review_follows)
            .then(|| self.now.plus(self.config.review_after));
        let template = Template {
            id: identity::template_id(self.counters.templates),
            account: new.account,
            name: definition.name,
            language: definition.language,
            category: definition.category,
            status: TemplateStatus::Pending,
            parameter_format: definition.parameter_format,
            components: definition.components,
            review_at,
            deleted_at: None,
        };
        let id = template.id.clone();
        self.templates.insert(id.clone(), template.clone());
        self.touch(Document::Template(id.clone()));
        match (new.review, review_at) {
            (Some(status), _) => self.reviewed(&id, status),
            (None, Some(at)) => self.set_timer(at, Due::Review(id.clone())),
            (None, None) => {}
        }
        Ok(self.templates.get(&id).cloned().unwrap_or(template))
    }

    /// The time of a review is over: the sandbox approves what is well formed.
    pub(super) fn end_review(&mut self, id: &str) {
        let waits = |template: &Template| {
            template.status == TemplateStatus::Pending && template.review_at.is_some()
        };
        if self.templates.get(id).is_some_and(waits) {
            self.reviewed(id, TemplateStatus::Approved);
        }
    }

    fn reviewed(&mut self, id: &str, status: TemplateStatus) {
        let Some(template) = self.templates.get_mut(id) else {
            return;
        };
        template.status = status;
        template.review_at = None;
        let reason = if status == TemplateStatus::Rejected {
            "INVALID_FORMAT"
        } else {
            "NONE"
        };
        let value = payload::template_status(template, reason);
        let account = template.account.clone();
        self.touch(Document::Template(id.to_owned()));
        self.update(&account, payload::TEMPLATE_STATUS, value, None, None);
    }

    /// Deletes a template in all its languages, or the one with this id.
    pub(crate) fn delete_templates(
        &mut self,
        account: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), GraphError> {
        let matches = |template: &&Template| {
            template.account == account
                && template.name == name
                && template.deleted_at.is_none()
                && id.is_none_or(|id| template.id == id)
        };
        let ids: Vec<String> = self
            .templates
            .values()
            .filter(matches)
            .map(|template| template.id.clone())
            .collect();
        if ids.is_empty() {
            return Err(GraphError::template(
                2_593_002,
                "Message Template Not Found",
            ));
        }
        for id in ids {
            if let Some(template) = self.templates.get_mut(&id) {
                template.deleted_at = Some(self.now);
            }
            self.reviewed(&id, TemplateStatus::Deleted);
        }
        Ok(())
    }

    /// A page of templates in order of creation, and whether there are more.
    pub(crate) fn list_templates(&self, filter: &TemplateFilter) -> (Vec<Template>, bool) {
        let same = |wanted: &Option<String>, own: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(own))
        };
        let mut matching = self.templates.values().filter(|template| {
            template.account == filter.account
                && template.deleted_at.is_none()
                && filter
                    .name
                    .as_deref()
                    .is_none_or(|part| template.name.contains(part))
                && same(&filter.language, &template.language)
                && same(&filter.status, template.status.word())
                && same(&filter.category, &template.category)
                && filter
                    .after
                    .as_deref()
                    .is_none_or(|after| template.id.as_str() > after)
        });
        let page = matching.by_ref().take(filter.limit).cloned().collect();
        (page, matching.next().is_some())
    }

    /// A template that has not been deleted.
    pub(crate) fn template(&self, id: &str) -> Option<&Template> {
        self.templates
            .get(id)
            .filter(|template| template.deleted_at.is_none())
    }

    /// The template of this name and language, if it may be sent.
    pub(super) fn sendable(
        &self,
        account: &str,
        name: &str,
        language: &str,
    ) -> Result<&Template, GraphError> {
        let found = self.templates.values().find(|template| {
            template.account == account
                && template.deleted_at.is_none()
                && template.name == name
                && template.language == language
        });
        match found.map(|template| (template, template.status)) {
            Some((template, TemplateStatus::Approved)) => Ok(template),
            Some((_, TemplateStatus::Paused)) => Err(GraphError::message(
                132_015,
                "Template is paused due to low quality",
            )),
            Some((_, TemplateStatus::Disabled)) => {
                Err(GraphError::message(132_016, "Template is disabled"))
            }
            _ => {
                let details = format!("template name ({name}) does not exist in {language}");
                Err(GraphError::message(132_001, &details))
            }
        }
    }
}
