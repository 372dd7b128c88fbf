//! What is parked.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use core_types::Timestamp;
use lib_storage::redis::Link;
use redis::{Pipeline, Script, cmd};

use super::keys::Keys;
use super::wire;
use crate::inbox::{InboxError, NewParked, Parked};

static REPLAYED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("park.lua"),
        include_str!("replayed.lua")
    ))
});
static REPLAY_FAILED: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("replay_failed.lua")));

/// How long it is known that an item was handed on: 30 days, in seconds.
const REMEMBER: u32 = 30 * 86_400;

/// All fields of an item but its payload.
const HEAD: [&str; 12] = [
    "sequence",
    "replayed",
    "id",
    "delivery",
    "ordinal",
    "position",
    "cause",
    "number",
    "admitted_at",
    "parked_at",
    "attempts",
    "traceparent",
];

/// The items after a place in the order of parking, without payload; of some numbers, or all.
pub(super) async fn list(
    link: &Link,
    keys: &Keys,
    numbers: Option<&[String]>,
    after: u64,
    most: usize,
) -> Result<Vec<Parked>, InboxError> {
    let mut link = link.clone();
    let sets: Vec<String> = match numbers {
        None => vec![keys.parked.clone()],
        Some(numbers) => numbers
            .iter()
            .map(|number| keys.of_number(number))
            .collect(),
    };
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let mut ask = Pipeline::new();
    for set in &sets {
        ask.cmd("ZRANGEBYSCORE")
            .arg(set)
            .arg(format!("({after}"))
            .arg("+inf");
        ask.arg("WITHSCORES").arg("LIMIT").arg(0).arg(most);
    }
    let found: Vec<Vec<(String, u64)>> = ask.query_async(&mut link).await?;
    let mut found: Vec<(u64, String)> = found
        .into_iter()
        .flatten()
        .map(|(id, place)| (place, id))
        .collect();
    found.sort_unstable();
    found.truncate(most);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let mut ask = Pipeline::new();
    for (_, id) in &found {
        ask.cmd("HMGET").arg(keys.item(id)).arg(&HEAD);
    }
    let rows: Vec<Vec<Option<String>>> = ask.query_async(&mut link).await?;
    // One that was handed on since it was listed is left out.
    let rows = rows
        .into_iter()
        .map(|row| HEAD.into_iter().zip(row))
        .map(|row| {
            let known = row.filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
            known.collect::<Fields>()
        })
        .filter(|fields| fields.contains_key("id") && !fields.contains_key("replayed"));
    rows.map(item).collect()
}

/// One item with its payload.
pub(super) async fn find(link: &Link, keys: &Keys, id: &str) -> Result<Option<Parked>, InboxError> {
    let mut ask = cmd("HGETALL");
    let ask = ask.arg(keys.item(id));
    let fields: Fields = ask.query_async(&mut link.clone()).await?;
    if fields.is_empty() {
        return Ok(None);
    }
    item(fields).map(Some)
}

/// An item was handed on.
pub(super) async fn replayed(
    link: &Link,
    keys: &Keys,
    id: &str,
    instead: &[NewParked],
) -> Result<(), InboxError> {
    let found = find(link, keys, id).await?;
    let number = found.map(|found| found.item.number_id).unwrap_or_default();
    let mut call = REPLAYED.prepare_invoke();
    call.key(&keys.parked)
        .key(&keys.numbers)
        .key(&keys.sequence);
    call.key(keys.item(id)).key(keys.of_number(&number));
    call.arg(id).arg(&number).arg(REMEMBER);
    for new in instead {
        call.key(keys.item(&new.id()))
            .key(keys.of_number(&new.number_id));
        for argument in wire::item_fields(new) {
            call.arg(argument);
        }
    }
    Ok(call.invoke_async(&mut link.clone()).await?)
}

/// An item could not be handed on.
pub(super) async fn replay_failed(
    link: &Link,
    keys: &Keys,
    id: &str,
    cause: &str,
) -> Result<(), InboxError> {
    let mut call = REPLAY_FAILED.prepare_invoke();
    call.key(keys.item(id)).arg(cause);
    Ok(call.invoke_async(&mut link.clone()).await?)
}

type Fields = HashMap<String, Vec<u8>>;

fn item(mut fields: Fields) -> Result<Parked, InboxError> {
    let replayed = fields.contains_key("replayed");
    let payload = Bytes::from(fields.remove("payload").unwrap_or_default());
    let mut text = |name: &str| {
        let value = fields
            .remove(name)
            .and_then(|value| String::from_utf8(value).ok());
        value.ok_or_else(|| wire::corrupt(format!("`{name}` of a parked item")))
    };
    Ok(Parked {
        id: text("id")?,
        sequence: number(&text("sequence")?)?,
        replayed,
        item: NewParked {
            delivery: number(&text("delivery")?)?,
            index: number(&text("ordinal")?)?,
            position: text("position")?,
            cause: text("cause")?,
            number_id: text("number")?,
            admitted_at: Timestamp::from_micros(number(&text("admitted_at")?)?),
            parked_at: Timestamp::from_micros(number(&text("parked_at")?)?),
            attempts: number(&text("attempts")?)?,
            traceparent: text("traceparent")?,
            payload,
        },
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, InboxError> {
    text.parse()
        .map_err(|_| wire::corrupt("a number of a parked item"))
}
