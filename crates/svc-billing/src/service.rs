//! `BillingService`: what callers see of the ledger. Administrators and supervisors see their own
//! tenant's, services all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use core_billing::{Category, Month, PriceBook, QuoteRefusal, QuoteRequest, quote};
use core_types::{ContactIdentity, Currency, Money};
use lib_platform::{Caller, Clock, Refusal, Role, caller, page};
use lib_proto::billing::billing_service_server::BillingService;
use lib_proto::billing::{
    GetProgressRequest, GetStatementRequest, ListJournalsRequest, ListJournalsResponse, Progress,
    Quote, QuoteMessageRequest, Statement, StatementLine,
};
use lib_storage::StorageError;
use tonic::{Request, Response, Status};

use crate::payers::Payers;
use crate::progress;
use crate::read::JournalFilter;
use crate::store::Store;

/// The service behind the contract.
pub(crate) struct Billing {
    pub payers: Payers,
    pub store: Store,
    pub book: Arc<PriceBook>,
    pub clock: Clock,
    pub progress: progress::Progress,
}

/// Whose ledger the caller may see; `None` means everybody's.
fn tenant<T>(request: &Request<T>) -> Result<Option<String>, Status> {
    let caller = caller(request)?;
    caller.require(&[Role::Supervisor])?;
    Ok(match caller {
        Caller::User { tenant, .. } => Some(tenant.into()),
        Caller::Service { .. } => None,
    })
}

fn storage(error: StorageError) -> Refusal {
    error.into()
}

fn month(text: &str) -> Result<Month, Refusal> {
    let parsed = text.parse::<Month>();
    parsed.map_err(|error| Refusal::invalid("month", error.to_string()))
}

/// One total for each currency. Sums are exact; one that does not fit is refused, not rounded.
fn totals(lines: &[StatementLine]) -> Result<Vec<lib_proto::common::Money>, Refusal> {
    let mut totals: BTreeMap<Currency, Money> = BTreeMap::new();
    for amount in lines.iter().filter_map(|line| line.amount.clone()) {
        let amount = Money::try_from(amount).map_err(|error| Refusal::internal(&error))?;
        let total = totals
            .entry(amount.currency)
            .or_insert(Money::zero(amount.currency));
        *total = total
            .plus(amount)
            .map_err(|error| Refusal::internal(&error))?;
    }
    Ok(totals.into_values().map(Into::into).collect())
}

#[tonic::async_trait]
impl BillingService for Billing {
    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<Statement>, Status> {
        let tenant = tenant(&request)?;
        let request = request.into_inner();
        let month = month(&request.month)?;
        let number = Some(request.number_id.as_str()).filter(|id| !id.is_empty());
        // The cursor first: what is read after it holds at least that much.
        let cursor = self.progress.of(tenant.as_deref()).await.map_err(storage)?;
        let bill = self.store.bill(tenant.as_deref(), month, number);
        let bill = bill.await.map_err(storage)?;
        Ok(Response::new(Statement {
            month: month.to_string(),
            totals: totals(&bill.lines)?,
            lines: bill.lines,
            cursor,
            unrated: bill.unrated,
        }))
    }

    async fn list_journals(
        &self,
        request: Request<ListJournalsRequest>,
    ) -> Result<Response<ListJournalsResponse>, Status> {
        let tenant = tenant(&request)?;
        let request = request.into_inner();
        let most = page::size(request.page_size)?;
        let after = page::after(&request.page_token)?;
        let after = if after.is_empty() {
            Ok(0)
        } else {
            after.parse()
        };
        let foreign = |_| Refusal::invalid("page_token", "is not one this service gave out");
        let filter = JournalFilter {
            tenant: tenant.as_deref(),
            month: match request.month.as_str() {
                "" => None,
                text => Some(month(text)?),
            },
            message_id: &request.message_id,
            after: after.map_err(foreign)?,
            most: most + 1,
        };
        let mut rows = self.store.journals(filter).await.map_err(storage)?;
        let next_page_token = page::cut(&mut rows, most, |(seq, _)| seq.to_string());
        Ok(Response::new(ListJournalsResponse {
            journals: rows.into_iter().map(|(_, journal)| journal).collect(),
            next_page_token,
        }))
    }

    async fn quote_message(
        &self,
        request: Request<QuoteMessageRequest>,
    ) -> Result<Response<Quote>, Status> {
        let tenant = tenant(&request)?;
        let request = request.into_inner();
        let category = Category::parse(&request.category).map_err(|word| {
            let right = "is not one of marketing, utility, authentication, service";
            Refusal::invalid("category", format!("{word} {right}"))
        })?;
        let recipient = ContactIdentity::from_phone(&request.recipient)
            .map_err(|error| Refusal::invalid("recipient", error.to_string()))?;
        let number = request.number_id;
        let mut payers = self.payers.of(BTreeSet::from([number.clone()])).await?;
        let account = match payers.remove(&number) {
            Some(Ok(account))
                if tenant
                    .as_deref()
                    .is_none_or(|t| t == account.tenant.as_str()) =>
            {
                account
            }
            // Whether the number is another tenant's or nobody's is not the caller's business.
            _ => return Err(Refusal::not_found("number", &number).into()),
        };
        let now = self.clock.now();
        let used = self.store.service_used(&number, account.zone.month(now));
        let used = used.await.map_err(storage)?;
        let asked = QuoteRequest {
            recipient,
            category,
            window_open: request.window_open,
            free_entry_point: request.free_entry_point,
        };
        let terms = (account.currency, &account.zone);
        let quote = quote(&asked, terms, used, now, &self.book).map_err(refused)?;
        Ok(Response::new(Quote {
            amount: Some(quote.amount.into()),
            market: quote.market,
            country: quote.country,
            pricing_type: quote.pricing_type.word().to_owned(),
            explanation: quote.explanation,
        }))
    }

    async fn get_progress(
        &self,
        request: Request<GetProgressRequest>,
    ) -> Result<Response<Progress>, Status> {
        let tenant = tenant(&request)?;
        let cursor = self.progress.of(tenant.as_deref()).await.map_err(storage)?;
        let journals = self.store.journal_count(tenant.as_deref());
        Ok(Response::new(Progress {
            cursor,
            journals: journals.await.map_err(storage)?,
        }))
    }
}

fn refused(refusal: QuoteRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        QuoteRefusal::WindowClosed => Refusal::precondition("WINDOW_CLOSED", text),
        QuoteRefusal::Category(_) => Refusal::invalid("category", text),
        QuoteRefusal::Recipient => Refusal::invalid("recipient", text),
        QuoteRefusal::Unpriced(_) => Refusal::precondition("NO_RATE", text),
    }
}
