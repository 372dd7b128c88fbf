//! The NetworkPolicies: the same as the tables in their files, and as the calls in the code.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{at, documents, entries, keys, kind, list, name, read, rendered, roles, text, words};
use crate::{files, is_rust, is_test, root};

/// What tells pods apart.
const NAME: &str = "app.kubernetes.io/name";
/// Parties that no policy of ours selects: only the other side of the pair is in our hands.
const OUTSIDE: [&str; 6] = [
    "prometheus",
    "otel-collector",
    "ingress-nginx",
    "dns",
    "graph",
    "stores",
];

/// Caller, called, port.
pub(super) type Pair = (String, String, u64);

/// The table in the comments of a file: `# caller | called | port | why`.
fn table(text: &str, every_role: &[&str]) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    let rows = text.lines().filter_map(|line| line.strip_prefix("# "));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [caller, called, port, why] = cells[..] else {
            continue;
        };
        let Ok(port) = port.parse() else { continue };
        assert!(!why.is_empty(), "{caller} to {called}: why?");
        let expand = |who: &str| match who {
            "every role" => every_role.iter().map(ToString::to_string).collect(),
            _ => vec![who.to_owned()],
        };
        for caller in expand(caller) {
            for called in expand(called) {
                pairs.insert((caller.clone(), called, port));
            }
        }
    }
    pairs
}

/// The pods a selector names. `part` are those with the label of the whole.
fn selected(selector: &Value, part: &[&str]) -> Vec<String> {
    let labels = entries(selector, "matchLabels");
    if let Some((_, value)) = labels
        .iter()
        .find(|(key, _)| *key == NAME || *key == "k8s-app")
    {
        return vec![
            value
                .as_str()
                .unwrap_or_default()
                .replace("kube-dns", "dns"),
        ];
    }
    if !labels.is_empty() {
        return part.iter().map(ToString::to_string).collect();
    }
    list(selector, "matchExpressions")
        .iter()
        .flat_map(|rule| words(rule, "values"))
        .collect()
}

/// Who stands at the other end of a rule.
fn peers(peer: &Value, port: u64, part: &[&str]) -> Vec<String> {
    if peer.get("ipBlock").is_some() {
        let who = match port {
            443 => "graph",
            5432 => "postgres",
            6379 => "redis",
            _ => "an address",
        };
        return vec![who.to_owned()];
    }
    selected(&peer["podSelector"], part)
}

/// What the policies let out, and what they let in.
pub(super) fn allowed(documents: &[Value], part: &[&str]) -> (BTreeSet<Pair>, BTreeSet<Pair>) {
    let (mut out, mut inward) = (BTreeSet::new(), BTreeSet::new());
    for policy in documents
        .iter()
        .filter(|document| kind(document) == "NetworkPolicy")
    {
        let own = selected(at(policy, "spec.podSelector"), part);
        for (direction, end) in [("egress", "to"), ("ingress", "from")] {
            for rule in list(policy, &format!("spec.{direction}")) {
                assert!(!list(rule, end).is_empty(), "{}: anybody may", name(policy));
                assert!(
                    !list(rule, "ports").is_empty(),
                    "{}: on any port",
                    name(policy)
                );
                for port in list(rule, "ports")
                    .iter()
                    .filter_map(|port| port["port"].as_u64())
                {
                    for other in list(rule, end)
                        .iter()
                        .flat_map(|peer| peers(peer, port, part))
                    {
                        for own in &own {
                            if direction == "egress" {
                                out.insert((own.clone(), other.clone(), port));
                            } else {
                                inward.insert((other.clone(), own.clone(), port));
                            }
                        }
                    }
                }
            }
        }
    }
    (out, inward)
}

fn is_outside(who: &str, documents: &[Value]) -> bool {
    let ours = documents.iter().any(|document| {
        matches!(kind(document), "Deployment" | "StatefulSet" | "Job") && name(document) == who
    });
    OUTSIDE.contains(&who) || !ours
}

/// Pods with the label of the whole: every role that is deployed, and the seed.
pub(super) fn part(documents: &[Value]) -> Vec<&str> {
    let ours = documents.iter().filter(|document| {
        let labels = at(document, "spec.template.metadata.labels");
        labels
            .get("app.kubernetes.io/part-of")
            .is_some_and(|part| part == "frontdesk")
    });
    ours.map(name).collect()
}

/// Where table and policies differ.
fn differences(documents: &[Value], table: &BTreeSet<Pair>) -> Vec<String> {
    let part = part(documents);
    let (out, inward) = allowed(documents, &part);
    let known = |who: &str| !is_outside(who, documents);
    let mut found = Vec::new();
    for pair in table.iter().filter(|(caller, ..)| known(caller)) {
        if !out.contains(pair) {
            found.push(format!("{pair:?} is in the table, but may not go out"));
        }
    }
    for pair in table.iter().filter(|(_, called, _)| known(called)) {
        if !inward.contains(pair) {
            found.push(format!("{pair:?} is in the table, but is not let in"));
        }
    }
    for pair in out.union(&inward).filter(|pair| !table.contains(*pair)) {
        found.push(format!("{pair:?} is allowed, but not in the table"));
    }
    found
}

#[test]
fn policies_are_what_their_tables_say() {
    for overlay in ["base", "overlays/dev", "overlays/production"] {
        let documents = rendered(overlay);
        let part = part(&documents);
        let mut pairs = table(&read("deploy/kustomize/base/network.yaml"), &part);
        if overlay != "base" {
            let own = read(&format!("deploy/kustomize/{overlay}/network.yaml"));
            pairs.extend(table(&own, &part));
        }
        assert!(pairs.len() > 30, "{overlay}: the table is not read");
        let found = differences(&documents, &pairs);
        assert!(found.is_empty(), "{overlay}:\n{}", found.join("\n"));
    }
}

#[test]
fn nothing_is_allowed_by_default() {
    let documents = rendered("overlays/production");
    let deny = documents
        .iter()
        .find(|d| kind(d) == "NetworkPolicy" && name(d) == "default-deny");
    let deny = deny.expect("there is a default");
    assert!(
        at(deny, "spec.podSelector")
            .as_object()
            .is_some_and(serde_json::Map::is_empty)
    );
    assert_eq!(words(deny, "spec.policyTypes"), ["Ingress", "Egress"]);
}

/// Role calls role, as the table of the base and the development overlay have it.
fn calls_in_the_table() -> BTreeSet<(String, String)> {
    let base = table(&read("deploy/kustomize/base/network.yaml"), &[]);
    let dev = table(&read("deploy/kustomize/overlays/dev/network.yaml"), &[]);
    let grpc = base
        .into_iter()
        .chain(dev)
        .filter(|(_, _, port)| *port == 50051);
    let ours = |who: &str| roles().any(|role| role == who);
    grpc.filter(|(caller, called, _)| ours(caller) && ours(called))
        .map(|(caller, called, _)| (caller, called))
        .collect()
}

#[test]
fn calls_in_the_code_are_in_the_table() {
    let pairs = calls_in_the_table();
    let mut seen = 0;
    for path in files()
        .iter()
        .filter(|path| is_rust(path) && !is_test(path))
    {
        let own = path.strip_prefix(root()).unwrap().components().nth(1);
        let own = own
            .and_then(|part| part.as_os_str().to_str())
            .unwrap_or_default();
        let Some(caller) = own.strip_prefix("svc-") else {
            continue;
        };
        let code = std::fs::read_to_string(path).unwrap();
        let named = code.split(".channel(\"").skip(1);
        let named = named.filter_map(|rest| rest.split('"').next());
        // Who keeps channels to replicas keeps them to those of its own role.
        let mut uses = code.lines();
        let own = uses.any(|line| line.contains("platform::forward") && line.contains("Replicas"));
        for called in named.chain(own.then_some(caller)) {
            seen += 1;
            let pair = (caller.to_owned(), called.to_owned());
            assert!(
                pairs.contains(&pair),
                "{caller} calls {called}, which no policy allows"
            );
        }
    }
    assert!(seen > 5, "no call was found in the code");
}

#[test]
fn the_program_and_the_table_agree_on_who_calls_whom() {
    let mut called = BTreeSet::new();
    for key in keys() {
        let Some(service) = key.env.strip_prefix("FRONTDESK_PEERS_") else {
            continue;
        };
        let service = service.to_lowercase().replace('_', "-");
        for caller in roles().filter(|role| key.used_by.iter().any(|user| user == role)) {
            called.insert((caller.to_owned(), service.clone()));
        }
    }
    let mut pairs = calls_in_the_table();
    // Replicas of one role find each other by their advertised addresses.
    pairs.retain(|(caller, called)| caller != called);
    assert_eq!(pairs, called);
}

#[test]
fn the_rule_has_teeth() {
    let documents = documents(
        "
kind: Deployment
metadata: {name: egress}
---
kind: Deployment
metadata: {name: accounts}
---
kind: NetworkPolicy
metadata: {name: egress}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: egress}}
  egress:
    - to: [{podSelector: {matchLabels: {app.kubernetes.io/name: billing}}}]
      ports: [{port: 50051}]
",
    );
    let pairs = table(
        "# caller | called | port | why\n# egress | accounts | 50051 | tokens\n",
        &[],
    );
    let found = differences(&documents, &pairs).join("\n");
    assert!(
        found.contains("may not go out") && found.contains("not let in"),
        "{found}"
    );
    assert!(
        found.contains("billing") && found.contains("not in the table"),
        "{found}"
    );
    assert_eq!(text(&documents[0], "kind"), "Deployment");
}
