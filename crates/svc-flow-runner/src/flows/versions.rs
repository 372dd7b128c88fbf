//! Published versions: read, listed, compared, and gone back to.

use std::num::NonZeroU32;

use core_flow::{CompiledFlow, Definition};
use lib_platform::{Caller, Refusal, page};
use lib_proto::flow_runner as pb;

use super::{Flows, writer};
use crate::check;
use crate::store::{self, VersionRow};

impl Flows {
    /// A published version; 0 is the newest.
    pub(super) async fn version(
        &self,
        caller: &Caller,
        flow: &str,
        number: u32,
    ) -> Result<VersionRow, Refusal> {
        let tenant = caller.tenant()?.as_str();
        let number = match number {
            0 => store::newest(&self.database, tenant, flow)
                .await?
                .ok_or_else(|| Refusal::not_found("published flow", flow))?,
            number => number,
        };
        store::version(&self.database, tenant, flow, number.into())
            .await?
            .ok_or_else(|| Refusal::not_found("flow version", &format!("{flow}/{number}")))
    }

    pub(super) async fn versions(
        &self,
        caller: &Caller,
        asked: &pb::ListFlowVersionsRequest,
    ) -> Result<pb::ListFlowVersionsResponse, Refusal> {
        let tenant = caller.tenant()?.as_str();
        let size = page::size(asked.page_size)?;
        let before = match page::after(&asked.page_token)?.as_str() {
            "" => i64::MAX,
            last => last
                .parse()
                .map_err(|_| Refusal::invalid("page_token", "is not one this service gave out"))?,
        };
        if store::flow(&self.database, tenant, &asked.flow_id)
            .await?
            .is_none()
        {
            return Err(Refusal::not_found("flow", &asked.flow_id));
        }
        let mut rows =
            store::versions(&self.database, tenant, &asked.flow_id, before, size + 1).await?;
        let next_page_token = page::cut(&mut rows, size, |row| row.version.to_string());
        Ok(pb::ListFlowVersionsResponse {
            versions: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }

    /// An earlier version's definition as the next version. It was published once, so only what the
    /// engine needs is asked of it again: rules for drafts may have become stricter.
    pub(super) async fn roll_back(
        &self,
        caller: &Caller,
        asked: pb::RollBackFlowRequest,
    ) -> Result<VersionRow, Refusal> {
        let tenant = writer(caller)?;
        check::note(&asked.note)?;
        let mut tx = self.database.begin().await?;
        let mut row = store::flow(&mut tx, tenant, &asked.id)
            .await?
            .ok_or_else(|| Refusal::not_found("flow", &asked.id))?;
        let wanted = store::version(&mut tx, tenant, &row.id, asked.version.into()).await?;
        let wanted = wanted.ok_or_else(|| {
            Refusal::not_found("flow version", &format!("{}/{}", row.id, asked.version))
        })?;
        let newest = store::version(&mut tx, tenant, &row.id, row.published_version).await?;
        if let Some(newest) = newest.filter(|newest| newest.definition == wanted.definition) {
            return Ok(newest);
        }
        row.published_version += 1;
        let compiled = compiled(&read(&wanted.definition)?, row.published_version)?;
        let compiled = self.allowed(compiled)?;
        let version = VersionRow {
            version: row.published_version,
            // Of no draft: publishing the draft afterwards makes a version of it.
            revision: 0,
            author: caller.name(),
            note: asked.note,
            published_at: self.clock.now().as_micros(),
            ..wanted
        };
        self.make_newest(tx, tenant, &row, &version, compiled)
            .await?;
        Ok(version)
    }

    /// What differs.
    pub(super) async fn compare(
        &self,
        caller: &Caller,
        asked: &pb::CompareFlowVersionsRequest,
    ) -> Result<pb::CompareFlowVersionsResponse, Refusal> {
        let from = self.version(caller, &asked.flow_id, asked.from).await?;
        let from = read(&from.definition)?;
        let to = if asked.to == 0 {
            let tenant = caller.tenant()?.as_str();
            let flow = store::flow(&self.database, tenant, &asked.flow_id).await?;
            flow.ok_or_else(|| Refusal::not_found("flow", &asked.flow_id))?
                .draft
        } else {
            let to = self.version(caller, &asked.flow_id, asked.to).await?;
            to.definition
        };
        let changes = core_flow::diff(&from, &read(&to)?).into_iter();
        let changes = changes.map(|change| pb::FlowChange {
            place: change.place,
            from: change.from,
            to: change.to,
        });
        Ok(pb::CompareFlowVersionsResponse {
            changes: changes.collect(),
        })
    }
}

/// A definition that can at least be read.
fn read(text: &str) -> Result<Definition, Refusal> {
    core_flow::parse(text).map_err(|problems| {
        let errors: Vec<_> = problems.iter().collect();
        let refusal = check::unpublishable(&errors);
        refusal.unwrap_or_else(|| Refusal::invalid("draft", "cannot be read"))
    })
}

fn compiled(definition: &Definition, version: i64) -> Result<CompiledFlow, Refusal> {
    let number = u32::try_from(version).ok().and_then(NonZeroU32::new);
    let number = number.ok_or_else(|| Refusal::internal(&"a version that is no number"))?;
    CompiledFlow::compile(definition, number).map_err(|problem| Refusal::internal(&problem))
}
