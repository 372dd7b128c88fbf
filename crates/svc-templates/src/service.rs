//! `TemplateService`: what a tenant's people and our services see of the registry.

use core_types::{TemplateSend, TenantId, Timestamp};
use core_whatsapp::template::Definition;
use lib_platform::{Caller, Refusal, Role, caller, page};
use lib_proto::templates::template_service_server::TemplateService;
use lib_proto::templates::{self as pb, Template, TemplateParameter};
use lib_proto::{FieldError, required, template_from_proto, timestamp_opt};
use tonic::{Request, Response, Status};

use crate::directory::{ConnectorRef, Directory};
use crate::registry::{Registry, SyncError};
use crate::store::{self, Record};

/// The service.
pub(crate) struct Templates {
    registry: Registry,
    directory: Directory,
}

impl Templates {
    /// Answers from `registry`; `directory` says whose a connector or number is.
    pub(crate) fn new(registry: Registry, directory: Directory) -> Self {
        Self {
            registry,
            directory,
        }
    }

    /// A connector of the caller's tenant.
    async fn connector(&self, caller: &Caller, id: &str) -> Result<ConnectorRef, Status> {
        let tenant = caller.tenant()?;
        if id.is_empty() {
            return Err(Refusal::invalid("connector_id", "must be set").into());
        }
        self.directory.connector(tenant.as_str(), id).await
    }

    async fn synced_at(&self, connector: &ConnectorRef) -> Result<Option<Timestamp>, Refusal> {
        let key = (connector.tenant.as_str(), connector.id.as_str());
        let synced = store::synced(&self.registry.database, key);
        let synced = synced.await.map_err(SyncError::from)?;
        Ok(synced.map(|synced| Timestamp::from_micros(synced.read_at)))
    }
}

fn field_error(error: FieldError) -> Refusal {
    Refusal::invalid(error.field, error.problem)
}

/// Names are lower-case, so `/` separates the parts of a page token.
fn page_key(template: &Template) -> String {
    format!("{}/{}", template.name, template.language)
}

fn template(connector: &str, record: Record, synced_at: Option<Timestamp>) -> Template {
    let definition = Definition::parse(&record.components, &record.parameter_format);
    let (body, parameters) = match &definition {
        Ok(definition) => (definition.body().to_owned(), parameters(definition)),
        Err(error) => {
            tracing::debug!(name = record.name, %error, "a template's components cannot be read");
            (String::new(), Vec::new())
        }
    };
    Template {
        connector_id: connector.to_owned(),
        name: record.name,
        language: record.language,
        category: record.category,
        status: record.status,
        meta_id: record.meta_id,
        components: record.components,
        quality: record.quality,
        rejected_reason: record.rejected_reason,
        parameter_format: record.parameter_format,
        synced_at: timestamp_opt(synced_at),
        body,
        parameters,
    }
}

fn parameters(definition: &Definition) -> Vec<TemplateParameter> {
    definition
        .parameters()
        .into_iter()
        .map(|parameter| TemplateParameter {
            component: parameter.component,
            name: parameter.name,
            kind: parameter.kind,
            example: parameter.example,
            required: parameter.required,
        })
        .collect()
}

/// Fills in what the customer reads and the category.
fn prepare(record: &Record, mut send: TemplateSend) -> Result<TemplateSend, Refusal> {
    let label = format!("{} ({})", record.name, record.language);
    if record.status != "APPROVED" {
        let message = format!(
            "template {label} is {}; only an approved template can be sent",
            record.status
        );
        return Err(Refusal::precondition("TEMPLATE_NOT_APPROVED", message)
            .with("status", &record.status)
            .with("rejected_reason", &record.rejected_reason));
    }
    let definition = Definition::parse(&record.components, &record.parameter_format);
    let definition = definition.map_err(|error| {
        let message = format!("template {label} cannot be sent from here: {error}");
        Refusal::precondition("TEMPLATE_NOT_SUPPORTED", message)
    })?;
    match definition.check(&send) {
        Ok(rendered) => {
            send.rendered = rendered;
            send.category = record.category.to_lowercase();
            Ok(send)
        }
        Err(problems) => {
            let mut refusal: Option<Refusal> = None;
            for problem in problems {
                refusal = Some(match refusal {
                    None => Refusal::invalid(problem.field, problem.problem),
                    Some(refusal) => refusal.and_field(problem.field, problem.problem),
                });
            }
            Err(refusal.unwrap_or_else(|| Refusal::invalid("template", "cannot be used")))
        }
    }
}

#[tonic::async_trait]
impl TemplateService for Templates {
    async fn list_templates(
        &self,
        request: Request<pb::ListTemplatesRequest>,
    ) -> Result<Response<pb::ListTemplatesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (size, after) = (
            page::size(request.page_size)?,
            page::after(&request.page_token)?,
        );
        let after = after.split_once('/').unwrap_or_default();
        let connector = self.connector(&caller, &request.connector_id).await?;
        let ensured = self.registry.ensure_synced(&connector).await;
        ensured.map_err(Refusal::from)?;
        let statuses: Vec<String> = request
            .statuses
            .iter()
            .map(|status| status.to_uppercase())
            .collect();
        let key = (connector.tenant.as_str(), connector.id.as_str());
        let database = &self.registry.database;
        let records = store::page(database, key, after, &statuses, size + 1).await;
        let records = records.map_err(Refusal::from)?;
        let synced_at = self.synced_at(&connector).await?;
        let mut templates: Vec<Template> = records
            .into_iter()
            .map(|record| template(&connector.id, record, synced_at))
            .collect();
        let next_page_token = page::cut(&mut templates, size, page_key);
        Ok(Response::new(pb::ListTemplatesResponse {
            templates,
            next_page_token,
        }))
    }

    async fn get_template(
        &self,
        request: Request<pb::GetTemplateRequest>,
    ) -> Result<Response<Template>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let connector = self.connector(&caller, &request.connector_id).await?;
        let language = request.language.replace('-', "_");
        let name = (request.name.as_str(), language.as_str());
        let record = self.registry.find(&connector, name).await?;
        let synced_at = self.synced_at(&connector).await?;
        Ok(Response::new(template(&connector.id, record, synced_at)))
    }

    async fn sync_templates(
        &self,
        request: Request<pb::SyncTemplatesRequest>,
    ) -> Result<Response<pb::SyncTemplatesResponse>, Status> {
        let caller = caller(&request)?;
        caller.require(&[Role::Supervisor])?;
        let id = request.into_inner().connector_id;
        let connector = self.connector(&caller, &id).await?;
        let difference = self.registry.sync(&connector).await;
        let difference = difference.map_err(Refusal::from)?;
        Ok(Response::new(pb::SyncTemplatesResponse {
            added: difference.added,
            changed: difference.changed,
            removed: difference.removed,
            total: difference.total,
        }))
    }

    async fn prepare_template(
        &self,
        request: Request<pb::PrepareTemplateRequest>,
    ) -> Result<Response<pb::PrepareTemplateResponse>, Status> {
        let tenant = match caller(&request)? {
            Caller::Service { .. } => None,
            Caller::User { tenant, .. } => Some(tenant),
        };
        let request = request.into_inner();
        let send = required("template", request.template)
            .and_then(template_from_proto)
            .map_err(field_error)?;
        let send = TemplateSend {
            language: send.language.replace('-', "_"),
            ..send
        };
        let tenant = tenant.as_ref().map(TenantId::as_str);
        let connector = self.directory.of_number(&request.number_id, tenant).await?;
        let name = (send.name.as_str(), send.language.as_str());
        let record = self.registry.find(&connector, name).await?;
        let prepared = prepare(&record, send)?;
        Ok(Response::new(pb::PrepareTemplateResponse {
            template: Some((&prepared).into()),
        }))
    }
}
