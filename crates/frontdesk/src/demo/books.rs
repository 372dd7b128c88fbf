//! The end of the story: the bill, and what must hold afterwards.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use core_types::Money;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::billing::{GetStatementRequest, QuoteMessageRequest, Statement};
use lib_proto::common;
use lib_proto::ingress::GetInboxRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::sandbox::ListGraphSendsRequest;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;

use super::report::{Bill, BillLine, Report};
use super::stage::{Stage, maria};
use crate::seed;

fn money(amount: Option<&common::Money>) -> anyhow::Result<Money> {
    let amount = amount.context("an amount is missing")?;
    Ok(Money {
        currency: amount.currency_code.parse()?,
        micros: amount.micros,
    })
}

pub(crate) async fn bill(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let statement = settled_statement(stage).await?;
    let mut bill = Bill {
        month: statement.month.clone(),
        ..Default::default()
    };
    let mut sum = 0;
    for line in &statement.lines {
        let amount = money(line.amount.as_ref())?;
        sum += amount.micros;
        bill.lines.push(BillLine {
            category: line.category.clone(),
            pricing_type: line.pricing_type.clone(),
            country: line.country.clone(),
            messages: line.messages,
            amount: amount.to_string(),
        });
    }
    let total = money(statement.totals.first())?;
    bill.total = total.to_string();
    report.tell(
        stage.now(),
        "billing",
        format!("{} messages: {total}.", delivered(&statement)),
    );
    report.set_bill(bill);
    report.check_equal("the lines add up to the total", &sum, &total.micros);
    report.check_equal(
        "no delivered message is unrated",
        &statement.unrated.len(),
        &0,
    );
    report.check_equal(
        "every delivered message is on the bill once",
        &delivered(&statement),
        &7,
    );
    let quote = QuoteMessageRequest {
        number_id: seed::NUMBER_ID.to_owned(),
        recipient: maria().phone,
        category: "utility".to_owned(),
        ..Default::default()
    };
    let mut billing = BillingServiceClient::new(stage.as_user("admin")?);
    let quote = billing.quote_message(quote).await?.into_inner();
    let quoted = money(quote.amount.as_ref())?;
    report.check(
        "the template cost what was quoted",
        quoted == total && total.micros > 0,
        quote.explanation,
    );
    Ok(())
}

fn delivered(statement: &Statement) -> u64 {
    statement.lines.iter().map(|line| line.messages).sum()
}

/// The statement once billing has read the log to where it stands now.
async fn settled_statement(stage: &mut Stage) -> anyhow::Result<Statement> {
    let mut billing = BillingServiceClient::new(stage.as_user("admin")?);
    let month = stage.now().to_string().chars().take(7).collect::<String>();
    let request = GetStatementRequest {
        month,
        number_id: seed::NUMBER_ID.to_owned(),
    };
    // Billing follows the log; its progress is only known by asking.
    for _ in 0..1_000 {
        let statement = billing.get_statement(request.clone()).await?.into_inner();
        if delivered(&statement) >= 7 {
            return Ok(statement);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    billing
        .get_statement(request)
        .await
        .map(tonic::Response::into_inner)
        .map_err(Into::into)
}

pub(crate) async fn audit(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let mut sandbox = SandboxServiceClient::new(stage.as_user("admin")?);
    let sends = sandbox
        .list_graph_sends(ListGraphSendsRequest {
            offset: 0,
            limit: 1_000,
        })
        .await?;
    let sends = sends.into_inner().sends;
    let mut keys: Vec<_> = sends
        .iter()
        .map(|send| send.callback_data.clone())
        .collect();
    keys.sort();
    keys.dedup();
    report.check_equal(
        "Meta got each message exactly once",
        &(sends.len(), keys.len()),
        &(7, 7),
    );
    let mut ingress = IngressServiceClient::new(stage.as_user("admin")?);
    let inbox = ingress.get_inbox(GetInboxRequest {}).await?.into_inner();
    report.check_equal(
        "no webhook is waiting, parked or refused",
        &(
            inbox.waiting_deliveries,
            inbox.parked_items,
            inbox.refused_signatures,
        ),
        &(0, 0, 0),
    );
    Ok(())
}

/// Checks G15 on what the instance left behind.
pub(crate) async fn check_replay(folder: &Path, report: &mut Report) {
    let name = "replaying the log gives the stored state, byte for byte";
    let storage = lib_storage::Storage::Embedded {
        folder: folder.to_owned(),
    };
    match svc_conversations::verify_replay_of(&storage).await {
        Ok(outcome) => report.check(
            name,
            outcome.differences.is_empty(),
            format!(
                "{} events of {} conversation",
                outcome.events, outcome.conversations
            ),
        ),
        Err(error) => report.check(name, false, error.to_string()),
    }
}
