//! Webhooks as they may come: many times, together, turned around, forged, unreadable, too many.

use std::time::Duration;

use lib_proto::ingress::ReplayParkedItemRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use serde_json::json;

use super::{Plan, Setup, Verdict, load, part};
use crate::survive::history::{Item, Outcome};
use crate::survive::meta::Body;
use crate::survive::run::{PATH, Run};
use crate::webhook::sign;

/// E31, E32 and forged ones.
pub(super) async fn copies(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    for round in 0..plan.pick(10, 60) {
        let bodies = conversation(&mut run, round);
        match round % 3 {
            0 => many_at_once(&mut run, &bodies).await,
            1 => batched(&mut run, round).await,
            _ => reversed(&mut run, &bodies).await,
        }
        forged(&mut run, &bodies[0]).await;
        if round == plan.pick(5, 30) {
            let part = part(&run, "ingress");
            run.kill(&part, Duration::from_millis(20), "").await;
        }
    }
    run.finish(name, row).await
}

fn conversation(run: &mut Run, round: u64) -> Vec<Body> {
    let (line, customer) = fresh(run, round);
    let texts = PATH.iter().enumerate();
    texts
        .map(|(number, text)| {
            let wamid = format!("wamid.IN{customer}.{number}");
            run.meta.text_body(&line, &customer, &wamid, text)
        })
        .collect()
}

fn fresh(run: &mut Run, round: u64) -> (crate::survive::meta::Line, String) {
    let line = run.lines[round as usize % run.lines.len()].clone();
    (line, format!("1651{round:07}"))
}

/// Fifty copies of one body in the same moment, to every door.
async fn many_at_once(run: &mut Run, bodies: &[Body]) {
    for body in bodies {
        let copies = (0..50).map(|copy| {
            let (meta, body) = (run.meta.clone(), body.clone());
            tokio::spawn(async move {
                let signature = sign(body.text.as_bytes());
                meta.post(&body, &signature, copy).await
            })
        });
        let copies: Vec<_> = copies.collect();
        for copy in copies {
            let _ = copy.await;
        }
        run.meta.deliver(body).await;
    }
}

/// The texts of several customers in one body, in array order, and the same body once more.
async fn batched(run: &mut Run, round: u64) {
    let (mut changes, mut items) = (Vec::new(), Vec::new());
    for customer in 0..12 {
        let (line, customer) = fresh(run, 10_000 + round * 100 + customer);
        for (number, text) in PATH.iter().enumerate() {
            let wamid = format!("wamid.IN{customer}.{number}");
            changes.push((
                line.waba.clone(),
                run.meta.text(&line, &customer, &wamid, text),
            ));
            items.push(Item::Message {
                wamid,
                customer: customer.clone(),
                number: line.number.clone(),
            });
        }
    }
    let body = run.meta.body(changes, items);
    run.meta.deliver(&body).await;
    run.meta.deliver(&body).await;
}

/// The last text first: we do not put right what Meta turns around, but lose nothing of it.
async fn reversed(run: &mut Run, bodies: &[Body]) {
    for body in bodies.iter().rev() {
        run.meta.deliver(body).await;
    }
    for body in bodies {
        run.meta.deliver(body).await;
    }
}

/// What anybody might post.
async fn forged(run: &mut Run, like: &Body) {
    let body = forge(like);
    let good = sign(like.text.as_bytes());
    let mut bent = sign(body.text.as_bytes()).into_bytes();
    let last = bent.len() - 1;
    bent[last] = if bent[last] == b'0' { b'1' } else { b'0' };
    let bent = String::from_utf8(bent).unwrap_or_default();
    for signature in [good.as_str(), bent.as_str(), "sha256=00", ""] {
        let (outcome, status) = run.meta.post(&body, signature, 0).await;
        if outcome == Outcome::Ok {
            run.broken("I3", format!("a forged body was answered {status}"));
        }
    }
}

/// A body like another, with ids of its own in bytes and items alike: an effect would be seen.
fn forge(like: &Body) -> Body {
    let (theirs, own) = ("wamid.IN", "wamid.FORGEDIN");
    let mut body = like.clone();
    body.id += 1_000_000;
    body.text = body
        .text
        .replace(&format!("\"id\":\"{theirs}"), &format!("\"id\":\"{own}"));
    for item in &mut body.items {
        if let Item::Message { wamid, .. } = item {
            *wamid = wamid.replacen(theirs, own, 1);
        }
    }
    body
}

/// E37: each unreadable item beside good ones; then what is parked is replayed.
pub(super) async fn poison(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    load(&mut run, 8, 2, Duration::from_secs(2));
    for round in 0..plan.pick(2, 10) {
        for (kind, text) in poisons(round).into_iter().enumerate() {
            poisoned(&mut run, round, kind as u64, &text).await;
        }
        if round == 0 {
            let part = part(&run, "ingress");
            run.kill(&part, Duration::from_millis(20), "").await;
        }
    }
    run.wait_for_customers().await;
    replay(&mut run).await?;
    run.finish(name, row).await
}

/// Delivers an unreadable item beside a good one.
async fn poisoned(run: &mut Run, round: u64, kind: u64, text: &str) -> Body {
    let (line, customer) = fresh(run, 20_000 + round * 100 + kind);
    let wamid = format!("wamid.IN{customer}.0");
    let good = run.meta.text_body(&line, &customer, &wamid, "Hi");
    let mark = format!("MARK{round}x{kind}");
    let bad = text.replace("MARK", &mark);
    // Before its sibling, in the same change.
    let with = good
        .text
        .replacen("\"messages\":[", &format!("\"messages\":[{bad},"), 1);
    let mut items = good.items.clone();
    items.push(Item::Poison { mark });
    let body = Body {
        id: good.id,
        text: with,
        items,
    };
    run.meta.deliver(&body).await;
    body
}

/// One unreadable item beside a good one, and forged copies of both.
pub(super) async fn odd_ones(run: &mut Run, round: u64) {
    let kinds = poisons(round);
    let kind = round as usize % kinds.len();
    let body = poisoned(run, round, kind as u64, &kinds[kind]).await;
    forged(run, &body).await;
}

/// Items that cannot be taken in, as raw JSON; `MARK` tells them apart.
fn poisons(round: u64) -> Vec<String> {
    let from = format!("1652{round:07}");
    let mut all = vec![
        // No id.
        json!({"from": from, "timestamp": "1", "type": "text", "text": {"body": "MARK"}}).to_string(),
        // Not an object.
        "\"MARK\"".to_owned(),
        // A time that is none.
        json!({"from": from, "id": "wamid.MARK", "timestamp": "soon", "type": "text", "text": {"body": "x"}}).to_string(),
        // Nobody.
        json!({"id": "wamid.MARK", "timestamp": "1", "type": "text", "text": {"body": "x"}}).to_string(),
    ];
    let deep = format!("{}\"MARK\"{}", "[".repeat(300), "]".repeat(300));
    all.push(deep);
    all
}

/// I29: nothing of what is parked can be read now either, and trying repeats no effect.
async fn replay(run: &mut Run) -> anyhow::Result<()> {
    let (stores, _) = run.settle().await;
    run.facts.before_replay = Some(stores.log.len());
    let mut ingress = IngressServiceClient::new(run.channel("ingress", "operator"));
    for item in &stores.parked {
        let request = ReplayParkedItemRequest {
            id: item.id.clone(),
        };
        // What it answers is told in the store.
        let _ = ingress.replay_parked_item(request).await;
    }
    run.notes
        .push(format!("{} items parked and replayed", stores.parked.len()));
    Ok(())
}

/// E35, E39.
pub(super) async fn flood(plan: Plan, name: &str, row: &str) -> anyhow::Result<Verdict> {
    let mut run = plan.start(Setup::default()).await?;
    let hot = hot_conversation(&mut run, plan.pick(200, 1_000));
    run.also(hot);
    big_body(&mut run).await;
    let small = plan.pick(600, 3_000);
    let bodies: Vec<Body> = (0..small)
        .map(|index| {
            let (line, customer) = fresh(&mut run, 40_000 + index / 4);
            let wamid = format!("wamid.IN{customer}.{}", index % 4);
            run.meta.text_body(&line, &customer, &wamid, "Hi")
        })
        .collect();
    // One sender keeps the order of its customers: each has four texts.
    for senders in bodies.chunks(bodies.len().div_ceil(32).next_multiple_of(4)) {
        let (meta, bodies) = (run.meta.clone(), senders.to_vec());
        run.also(tokio::spawn(async move {
            for body in &bodies {
                meta.deliver(body).await;
            }
        }));
    }
    run.some_time(200, 400).await;
    let busy = run.is_busy();
    run.fault(&format!("{small} bodies at once"), "ingress", busy);
    run.wait_for_customers().await;
    run.finish(name, row).await
}

/// One customer who does not stop.
fn hot_conversation(run: &mut Run, messages: u64) -> tokio::task::JoinHandle<()> {
    let (line, customer) = fresh(run, 90_000);
    let meta = run.meta.clone();
    tokio::spawn(async move {
        for number in 0..messages {
            let wamid = format!("wamid.IN{customer}.{number}");
            let body = meta.text_body(&line, &customer, &wamid, &format!("number {number}"));
            meta.deliver(&body).await;
        }
    })
}

/// 1,000 updates in 3 MB.
async fn big_body(run: &mut Run) {
    let (mut changes, mut items) = (Vec::new(), Vec::new());
    let long = "x".repeat(2_700);
    for index in 0..1_000 {
        let (line, customer) = fresh(run, 60_000 + index % 200);
        let wamid = format!("wamid.IN{customer}.{}", index / 200);
        changes.push((
            line.waba.clone(),
            run.meta.text(&line, &customer, &wamid, &long),
        ));
        items.push(Item::Message {
            wamid,
            customer,
            number: line.number.clone(),
        });
    }
    let body = run.meta.body(changes, items);
    run.notes.push(format!(
        "one body of {} bytes with 1,000 updates",
        body.text.len()
    ));
    run.meta.deliver(&body).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survive::history::History;
    use crate::survive::meta::{Line, Meta};

    #[test]
    fn a_forged_body_holds_the_ids_it_is_known_by() {
        let meta = Meta::new(Vec::new(), History::new(None));
        let line = Line {
            number: "1".to_owned(),
            waba: "2".to_owned(),
        };
        let like = meta.text_body(&line, "16510000001", "wamid.IN16510000001.0", "Hi");
        let body = forge(&like);
        let [Item::Message { wamid, .. }] = body.items.as_slice() else {
            panic!("{:?}", body.items)
        };
        assert!(body.text.contains(&format!("\"id\":\"{wamid}\"")));
        assert!(!like.text.contains(wamid.as_str()));
    }
}
