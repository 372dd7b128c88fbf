//! Accounts, numbers, subscriptions and templates over the Graph API.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::GraphError;
use super::{Graph, bearer};
use crate::state::{Account, Number, Template};
use crate::world::{NewTemplate, TemplateFilter, World};

/// Templates per page when the caller does not say.
const PAGE: usize = 25;
/// Most templates per page.
const LARGEST_PAGE: usize = 250;
/// Fields of a template when the caller does not say.
const TEMPLATE_FIELDS: &str = "name,parameter_format,components,language,status,category";

type At = Path<(String, String)>;

/// Query parameters of the template list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TemplateQuery {
    fields: Option<String>,
    limit: Option<usize>,
    status: Option<String>,
    name: Option<String>,
    language: Option<String>,
    category: Option<String>,
    after: Option<String>,
    hsm_id: Option<String>,
}

/// Does something in the engine and answers as the Graph API does.
async fn answered<F>(graph: &Graph, operation: F) -> Response
where
    F: FnOnce(&mut World) -> Result<Value, GraphError> + Send + 'static,
{
    let outcome = graph.engine.with(|world| {
        let outcome = operation(world);
        outcome.map_err(|error| world.traced(error))
    });
    match outcome.await {
        Ok(Ok(body)) => Json(body).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => GraphError::stopping().into_response(),
    }
}

/// `GET /{waba}/message_templates`.
pub(super) async fn list_templates(
    State(graph): State<Graph>,
    Path((_, account)): At,
    Query(query): Query<TemplateQuery>,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let after = query.after.as_deref().map(template_after).transpose()?;
        let filter = TemplateFilter {
            account,
            name: query.name,
            language: query.language,
            status: query.status,
            category: query.category,
            after,
            limit: query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE),
        };
        let (templates, more) = world.list_templates(&filter);
        let fields = query.fields.as_deref().unwrap_or(TEMPLATE_FIELDS);
        let data: Vec<Value> = templates
            .iter()
            .map(|template| template_object(template, fields))
            .collect();
        let mut answer = json!({"data": data});
        if let (Some(first), Some(last)) = (templates.first(), templates.last()) {
            let cursors = json!({"before": cursor(&first.id), "after": cursor(&last.id)});
            answer["paging"] = json!({"cursors": cursors});
            if more {
                let account = &filter.account;
                let after = cursor(&last.id);
                answer["paging"]["next"] = json!(format!(
                    "https://graph.facebook.com/v24.0/{account}/message_templates\
                     ?fields={fields}&limit={}&after={after}",
                    filter.limit
                ));
            }
        }
        Ok(answer)
    })
    .await
}

fn cursor(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

fn template_after(cursor: &str) -> Result<String, GraphError> {
    let id = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    id.ok_or_else(|| GraphError::parameter("Invalid cursor in parameter after"))
}

fn template_object(template: &Template, fields: &str) -> Value {
    let mut object = Map::new();
    for field in fields.split(',').map(str::trim) {
        let value = match field {
            "name" => json!(template.name),
            "language" => json!(template.language),
            "status" => json!(template.status.word()),
            "category" | "correct_category" => json!(template.category),
            "parameter_format" => json!(template.parameter_format),
            "components" => template.components.clone(),
            "rejected_reason" if template.status.word() == "REJECTED" => json!("INVALID_FORMAT"),
            "rejected_reason" => json!("NONE"),
            "quality_score" => json!({"score": "UNKNOWN"}),
            _ => continue,
        };
        object.insert(field.to_owned(), value);
    }
    object.insert("id".to_owned(), json!(template.id));
    Value::Object(object)
}

/// `POST /{waba}/message_templates`: taken in for review.
pub(super) async fn create_template(
    State(graph): State<Graph>,
    Path((_, account)): At,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let definition = serde_json::from_slice(&body)
            .map_err(|_| GraphError::parameter("The body is not JSON"))?;
        let new = NewTemplate {
            account,
            definition,
            review: None,
            review_follows: true,
        };
        let template = world.create_template(new)?;
        let (id, status) = (&template.id, template.status.word());
        Ok(json!({"id": id, "status": status, "category": template.category}))
    })
    .await
}

/// `DELETE /{waba}/message_templates?name=…[&hsm_id=…]`.
pub(super) async fn delete_templates(
    State(graph): State<Graph>,
    Path((_, account)): At,
    Query(query): Query<TemplateQuery>,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let name = query
            .name
            .ok_or_else(|| GraphError::parameter("The parameter name is required."))?;
        world.delete_templates(&account, &name, query.hsm_id.as_deref())?;
        Ok(json!({"success": true}))
    })
    .await
}

/// `GET /{waba}/phone_numbers`.
pub(super) async fn list_numbers(
    State(graph): State<Graph>,
    Path((_, account)): At,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let numbers: Vec<Value> = world
            .numbers_of(&account)
            .iter()
            .map(number_object)
            .collect();
        Ok(json!({"data": numbers}))
    })
    .await
}

fn number_object(number: &Number) -> Value {
    json!({
        "id": number.id,
        "display_phone_number": format!("+{}", number.phone),
        "verified_name": number.verified_name,
        "code_verification_status": "VERIFIED",
        "quality_rating": "GREEN",
        "platform_type": if number.registered { "CLOUD_API" } else { "NOT_APPLICABLE" },
        "throughput": {"level": "STANDARD"},
        "name_status": "APPROVED",
        "account_mode": "SANDBOX",
        "status": if number.registered { "CONNECTED" } else { "PENDING" },
    })
}

fn account_object(account: &Account) -> Value {
    json!({
        "id": account.id,
        "name": format!("Sandbox account {}", account.id),
        "currency": account.currency,
        "timezone": account.time_zone,
        "account_review_status": "APPROVED",
    })
}

/// `GET /{waba}/subscribed_apps`.
pub(super) async fn list_subscriptions(
    State(graph): State<Graph>,
    Path((_, account)): At,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let app = json!({"whatsapp_business_api_data": {
            "id": "100000000000001", "name": "Frontdesk", "link": "https://www.facebook.com/"}});
        let subscribed = world
            .account(&account)
            .is_some_and(|account| account.subscribed);
        Ok(json!({"data": if subscribed { vec![app] } else { Vec::new() }}))
    })
    .await
}

/// `POST /{waba}/subscribed_apps`.
pub(super) async fn subscribe(
    State(graph): State<Graph>,
    Path((_, account)): At,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if body.get("override_callback_uri").is_some() {
            return Err(GraphError::parameter(
                "The sandbox does not support override_callback_uri; create the account with \
                 the callback it should have",
            ));
        }
        world.subscribe(&account, true);
        Ok(json!({"success": true}))
    })
    .await
}

/// `DELETE /{waba}/subscribed_apps`.
pub(super) async fn unsubscribe(
    State(graph): State<Graph>,
    Path((_, account)): At,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_account(token.as_deref(), &account)?;
        world.subscribe(&account, false);
        Ok(json!({"success": true}))
    })
    .await
}

/// `POST /{phone_number_id}/register`.
pub(super) async fn register(
    State(graph): State<Graph>,
    Path((_, number)): At,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        world.authorize_number(token.as_deref(), &number)?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| GraphError::parameter("The body is not JSON"))?;
        let pin = body["pin"].as_str().unwrap_or_default();
        if pin.len() != 6 || !pin.bytes().all(|b| b.is_ascii_digit()) {
            return Err(GraphError::parameter("Param pin must be 6 digits"));
        }
        world.register(&number);
        Ok(json!({"success": true}))
    })
    .await
}

/// `GET /{id}`: a number, a template or an account.
pub(super) async fn node(
    State(graph): State<Graph>,
    Path((_, id)): At,
    Query(query): Query<TemplateQuery>,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    answered(&graph, move |world| {
        let token = token.as_deref();
        if let Some(number) = world.number(&id) {
            world.authorize_number(token, &id)?;
            return Ok(number_object(number));
        }
        if let Some(template) = world.template(&id) {
            world.authorize(token, Some(&template.account), &id)?;
            let fields = query.fields.as_deref().unwrap_or(TEMPLATE_FIELDS);
            return Ok(template_object(template, fields));
        }
        world.authorize_account(token, &id)?;
        world
            .account(&id)
            .map(account_object)
            .ok_or_else(|| GraphError::no_object(&id))
    })
    .await
}
