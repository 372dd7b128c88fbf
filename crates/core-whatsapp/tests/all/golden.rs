//! Our own fixtures: each says exactly what its snapshot says, and together they cover everything.

use std::collections::BTreeSet;

use core_types::{Content, Fact, FactBody};
use core_whatsapp::webhook::{ATTRIBUTES, read, reread};

use crate::fixtures::own;

fn facts() -> Vec<(String, Vec<Fact>)> {
    own()
        .into_iter()
        .map(|fixture| {
            let items = read(&fixture.body).unwrap();
            let facts = items.into_iter().map(|item| item.result.unwrap());
            (fixture.name, facts.collect())
        })
        .collect()
}

#[test]
fn every_fixture_says_what_it_said() {
    for (name, facts) in facts() {
        insta::with_settings!({ snapshot_suffix => name, prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!("facts", facts);
        });
    }
}

#[test]
fn items_can_be_read_again_from_their_own_bytes() {
    for fixture in own() {
        for item in read(&fixture.body).unwrap() {
            let name = &fixture.name;
            assert_eq!(reread(&item.raw), item.result, "{name} {}", item.position);
        }
    }
}

#[test]
fn facts_survive_storage() {
    for (name, facts) in facts() {
        for fact in facts {
            let stored = serde_json::to_string(&fact).unwrap();
            assert_eq!(
                serde_json::from_str::<Fact>(&stored).unwrap(),
                fact,
                "{name}"
            );
        }
    }
}

#[test]
fn keys_are_unique_and_stable() {
    let mut keys = BTreeSet::new();
    let mut count = 0;
    for (name, facts) in facts() {
        for fact in facts {
            count += 1;
            assert!(fact.dedupe_key.len() > 2, "{name}");
            keys.insert(fact.dedupe_key);
        }
    }
    // Some fixtures speak of the same status on purpose: sent, delivered and read of one message.
    assert!(keys.len() + 10 > count, "{} of {count}", keys.len());
}

fn variant(content: &Content) -> String {
    match content {
        Content::Media(media) => format!("media {}", media.kind.word()),
        Content::Reply(reply) => format!("reply {:?}", reply.kind),
        Content::System(notice) => {
            let debug = format!("{notice:?}");
            format!(
                "system {}",
                debug.split([' ', '{']).next().unwrap_or_default()
            )
        }
        other => {
            let debug = format!("{other:?}");
            debug
                .split(['(', ' ', '{'])
                .next()
                .unwrap_or_default()
                .to_owned()
        }
    }
}

#[test]
fn the_fixtures_cover_every_kind() {
    let (mut contents, mut statuses) = (BTreeSet::new(), BTreeSet::new());
    let (mut fields, mut words) = (BTreeSet::new(), BTreeSet::new());
    for (_, facts) in facts() {
        for fact in facts {
            match fact.body {
                FactBody::Message(message) => {
                    contents.insert(variant(&message.content));
                }
                FactBody::Echo(echo) => {
                    contents.insert(format!("echo {}", variant(&echo.content)));
                }
                FactBody::Status(status) => {
                    statuses.insert(status.status.word());
                }
                FactBody::Account(account) => {
                    words.extend(
                        account
                            .attributes
                            .into_keys()
                            .map(|word| (account.field.clone(), word)),
                    );
                    fields.insert(account.field);
                }
            }
        }
    }
    insta::assert_snapshot!(
        "content_kinds",
        contents.into_iter().collect::<Vec<_>>().join("\n")
    );
    assert_eq!(statuses.len(), 5, "{statuses:?}");
    for row in ATTRIBUTES {
        assert!(fields.contains(row.field), "no fixture for {}", row.field);
    }
    assert!(words.len() > 70, "{}", words.len());
}
