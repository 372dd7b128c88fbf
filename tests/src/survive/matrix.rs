//! The rows of the fault matrix (E1 to E50, kill points K1 to K22): how large each is tried here, and
//! why the others are not.

/// A row that a scenario stands for.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// The row.
    pub row: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// Its size: in the quick form, and the full form in brackets where it differs.
    pub size: &'static str,
    /// What of the row is not tried.
    pub without: &'static str,
}

/// A row that no scenario stands for.
#[derive(Clone, Copy, Debug)]
pub struct NotRun {
    /// The rows.
    pub rows: &'static str,
    /// Why, and what there is instead.
    pub why: &'static str,
    /// Tests that are named: file and function.
    pub tests: &'static [(&'static str, &'static str)],
}

const fn tried(
    row: &'static str,
    scenario: &'static str,
    size: &'static str,
    without: &'static str,
) -> Tried {
    Tried {
        row,
        scenario,
        size,
        without,
    }
}

const fn not_run(
    rows: &'static str,
    why: &'static str,
    tests: &'static [(&'static str, &'static str)],
) -> NotRun {
    NotRun { rows, why, tests }
}

/// What is tried, and how large.
pub const TRIED: [Tried; 35] = [
    tried(
        "E1",
        "points",
        "death at 9 of 18 named places, the other half on the other installation (all 18 on both)",
        "a pause of 20 s at each place; a start after more than a moment",
    ),
    tried(
        "E2",
        "kills",
        "8 kills 0.15 to 0.9 s apart (30), one process at a time",
        "all processes at once for a minute",
    ),
    tried(
        "E3",
        "suspend",
        "a sender lies 1 and 17 s, an attempt may take 15 s (also 30 s); with replicas each of conversations, routing, ingress and billing 17 s",
        "the count of fenced writes is not read",
    ),
    tried("E4", "rolling", "each process in turn, 3 times (12)", "–"),
    tried(
        "E6",
        "servers",
        "`kill -9` of Redis under profile A, 2 times (4), away 0.5 s (once 10 s), and 2 s (8 s) suspended",
        "profiles B and C",
    ),
    tried(
        "E7",
        "frozen-write",
        "once (twice): a write held 19 s on one process, 30 s on replicas; the process suspended as long",
        "120 s",
    ),
    tried("E8", "power", "4 losses (20) of the embedded stores", "–"),
    tried(
        "E8",
        "servers-power",
        "2 losses (6) each of Redis and PostgreSQL under profile A; Redis alone with `always`, `everysec` and `no`",
        "profile B",
    ),
    tried(
        "E9",
        "power",
        "embedded stores: flushes of 50 and 400 ms for some seconds",
        "2 s",
    ),
    tried(
        "E9",
        "servers-power",
        "Redis and PostgreSQL: flushes of 50 ms for some seconds",
        "400 ms and 2 s",
    ),
    tried(
        "E10",
        "power",
        "the embedded stores' disk full for 3 s; Redis' and PostgreSQL's in `servers-power`",
        "–",
    ),
    tried(
        "E20",
        "servers",
        "`kill -9` of PostgreSQL, 2 times (4), away 0.5 s",
        "`pg_terminate_backend` during COMMIT",
    ),
    tried(
        "E21",
        "servers",
        "PostgreSQL away 0.5 s (once 10 s)",
        "10 min",
    ),
    tried(
        "E23",
        "network",
        "100 to 200 ms and 2 % resets for 2 s (6 s), to Graph and to the webhooks",
        "links between services and to the stores",
    ),
    tried(
        "E24",
        "network",
        "silence in one direction for 2 s (6 s), to Graph and to the webhooks",
        "half-open for 60 s; links between services and to the stores",
    ),
    tried(
        "E25",
        "graph-token",
        "connections to Graph are refused for 3 to 4 s",
        "a resolver that fails by itself",
    ),
    tried(
        "E26",
        "graph-limits",
        "11 % throttled, 6 % refused for a window or a recipient, for 5 s (30 s)",
        "one pair alone beside others",
    ),
    tried(
        "E27",
        "graph-limits",
        "8 % errors 5xx for 5 s (30 s); at most 1.6 requests for each message",
        "30 % for 5 min",
    ),
    tried(
        "E28",
        "graph-doubt",
        "6 % resets, 2 % silence, 9 % empty or unknown errors 500 after acceptance",
        "–",
    ),
    tried(
        "E29",
        "graph-doubt",
        "21 % broken, wrong, huge, slow or HTML answers",
        "memory is shown, not bounded",
    ),
    tried(
        "E30",
        "graph-mute",
        "no status at all, half of the answers in doubt; then senders that die while Graph answers",
        "statuses that come after 10 min",
    ),
    tried(
        "E31",
        "copies",
        "each body 50 times at once, over all doors",
        "–",
    ),
    tried(
        "E32",
        "copies",
        "a conversation's bodies last first",
        "updates turned around inside one body",
    ),
    tried(
        "E34",
        "graph-early",
        "every status before its answer; death before the answer comes and before it is stored, 3 rounds (10)",
        "–",
    ),
    tried(
        "E35",
        "flood",
        "one body of 3 MB with 1,000 updates; 600 (3,000) small ones from 32 senders",
        "10,000 a second for 20 s; no bound on the time of an answer",
    ),
    tried(
        "E37",
        "poison",
        "5 kinds of unreadable items beside good ones, 2 times (10)",
        "kinds that the wire format's own tests have",
    ),
    tried(
        "E39",
        "flood",
        "200 (1,000) messages of one customer",
        "5,000",
    ),
    tried(
        "E40",
        "desks",
        "8 (30) agents who ignore, decline, click twice and vanish at random",
        "200 who come back in the same moment",
    ),
    tried(
        "E41",
        "desks-killed",
        "routing dies before it tells an offer",
        "–",
    ),
    tried(
        "E42",
        "desks-killed",
        "routing dies before it answers an accept",
        "–",
    ),
    tried(
        "E48",
        "starved",
        "6 busy threads on the machine while 60 customers write",
        "–",
    ),
    tried(
        "E49",
        "twice",
        "killed, and dead again while it recovers, 3 rounds (8)",
        "Redis' death among them",
    ),
    tried(
        "K1–K9, K11–K19",
        "points",
        "as E1; K14 is the commit of a status",
        "`pause`",
    ),
    tried(
        "I32",
        "neighbours",
        "two tenants whose queues and agent have the same names, 20 (160) customers of each at once; every answer of the public API to one is searched for customers, ids and bytes of the other",
        "traces, exports and keys in Redis",
    ),
    tried(
        "I37",
        "neighbours",
        "messages received and sent, items parked, duplicates, refused signatures, over all processes, to the last one",
        "runs in which a process is started again",
    ),
];

const INBOX: &str = "crates/svc-ingress/tests/ingress/in_redis.rs";
const FAILOVER: &str = "crates/svc-ingress/tests/ingress/in_cluster.rs";
const REDIS: &str = "crates/lib-storage/tests/redis.rs";

/// What is not run, and what there is instead.
pub const NOT_RUN: [NotRun; 21] = [
    not_run(
        "E5",
        "each run on replicas has two copies of every service; an old version beside a new one needs a released one. That records of the first schemas are read on is tested",
        SCHEMAS,
    ),
    not_run(
        "E11",
        "a full Redis: tests of the inbox and of leases, without other load",
        &[
            (INBOX, "a_full_redis_is_503_and_what_waits_still_ends"),
            (REDIS, "nobody_there_a_full_server_and_newer_data_are_named"),
        ],
    ),
    not_run("E12", "damage inside Redis' own file is not tried", &[]),
    not_run(
        "E13",
        "resynchronising a replica under load is not tried: in the tests profile B refuses until the replica is in step, or has another",
        &[
            (REDIS, "a_replica_in_step_makes_profile_b"),
            (
                FAILOVER,
                "with_one_replica_everything_is_kept_until_there_is_another",
            ),
        ],
    ),
    not_run(
        "E14, E15, E16",
        "Sentinel is not supported. In tests, without other load, a primary of a Cluster of local processes is killed under webhooks (profile B, one replica and two), the check follows the failover, and a paused replica confirms nothing. A primary that is cut off and not dead, and several hosts, are not tried",
        &[
            (
                FAILOVER,
                "with_two_replicas_the_loss_of_a_server_is_got_over",
            ),
            (
                FAILOVER,
                "with_one_replica_everything_is_kept_until_there_is_another",
            ),
            (
                REDIS,
                "after_a_failover_the_servers_that_have_the_slots_are_checked",
            ),
            (INBOX, "profile_b_admits_what_a_replica_has"),
        ],
    ),
    not_run(
        "E17",
        "slots of a Redis Cluster move in a test, without load",
        &[(REDIS, "keys_that_move_are_followed")],
    ),
    not_run(
        "E18, E19",
        "clocks that jump need libfaketime in every process",
        &[],
    ),
    not_run(
        "E22",
        "serialization failures and deadlocks are not provoked; PostgreSQL's full disk is, in `servers-power`",
        &[],
    ),
    not_run(
        "E33",
        "a body from eight days ago: a test with a clock of its own; duplicates are remembered that long",
        &[(
            "crates/svc-conversations/tests/service/memory.rs",
            "an_event_is_known_again_for_eight_days",
        )],
    ),
    not_run(
        "E36",
        "a flow that loops ends in its budget, and damaged definitions harm nobody: the flow core's tests. No widget allocates or calls out; a panic in the middle of a step is not provoked",
        &[
            (
                "crates/core-flow/tests/properties.rs",
                "a_loop_that_was_published_anyway_ends_in_its_budget",
            ),
            (
                "crates/core-flow/tests/properties.rs",
                "a_changed_byte_never_panics",
            ),
        ],
    ),
    not_run(
        "E38",
        "one tenant's flood beside another's: both tenants of `neighbours` are as busy",
        &[],
    ),
    not_run(
        "E43",
        "secrets rotated under load: the service token and the app secret, replica by replica, in a test of the process topology; passwords of PostgreSQL and Redis and the operator's token are not",
        &[
            (
                "tests/e2e/rotation.rs",
                "secrets_are_rotated_while_a_customer_is_served",
            ),
            (
                "crates/svc-ingress/tests/ingress/door.rs",
                "w03_w09_the_old_secret_and_capital_letters_are_fine",
            ),
        ],
    ),
    not_run(
        "E44",
        "migrations under load: a replica of the old version works on while a step is taken, on a schema of the test's own; stores of the first versions go on in tests",
        SCHEMAS,
    ),
    not_run(
        "E45, E46",
        "memory and descriptors used up are not tried",
        &[],
    ),
    not_run(
        "E47",
        "certificates: services speak plain gRPC inside the cluster's network",
        &[],
    ),
    not_run(
        "E50",
        "a cluster is restored from a backup and works on in a test, with one replica of each role and without Meta delivering again",
        &[(
            "tests/e2e/operations.rs",
            "a_backup_is_restored_and_work_goes_on_from_it",
        )],
    ),
    not_run(
        "K10",
        "the flow of these runs makes no call. A call is made at most once, after its step is stored; when its maker dies the flow's wait ends by itself",
        &[(
            "tests/e2e/flow_calls.rs",
            "a_call_whose_maker_dies_is_not_made_again_and_times_out",
        )],
    ),
    not_run(
        "K20",
        "death half-way through storing templates has a failpoint (`templates.commit`) and no scenario: they are stored in one transaction and read from Meta again",
        &[],
    ),
    not_run(
        "K21",
        "death half-way through a migration: its connection is lost in a test; a migration is one transaction",
        &[
            (
                "crates/lib-storage/tests/engines.rs",
                "a_connection_lost_during_a_migration_is_no_wrong_migration",
            ),
            (
                "crates/lib-storage/src/sqlite.rs",
                "migrations_run_once_and_newer_files_are_refused",
            ),
        ],
    ),
    not_run("K22", "configuration is read at the start only", &[]),
    not_run(
        "I33",
        "no statement is without its tenant: statements are not logged here. I32 is checked from outside, and tests of the services have two tenants",
        &[
            (
                "crates/svc-ingress/tests/ingress/parked.rs",
                "tenants_see_only_what_is_theirs",
            ),
            (
                "crates/svc-conversations/tests/service/reading.rs",
                "one_message_is_found_by_its_own_tenant_only",
            ),
        ],
    ),
];

/// Tests that begin with a store of an earlier schema.
const SCHEMAS: &[(&str, &str)] = &[
    (
        "crates/svc-conversations/src/store/mod.rs",
        "a_database_of_the_first_version_goes_on",
    ),
    (
        "crates/svc-billing/src/schema.rs",
        "a_ledger_of_the_first_version_goes_on_where_it_stood",
    ),
    (
        "crates/svc-accounts/src/schema.rs",
        "people_of_the_first_version_are_kept",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::survive::scenarios::ALL;

    #[test]
    fn the_tests_that_are_named_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, test) in NOT_RUN.iter().flat_map(|row| row.tests) {
            let text = std::fs::read_to_string(root.join(file)).expect(file);
            assert!(
                text.contains(&format!("fn {test}(")),
                "{file} has no {test}"
            );
        }
    }

    #[test]
    fn each_row_is_tried_or_said_not_to_be() {
        let tried: BTreeSet<&str> = TRIED.iter().map(|row| row.row).collect();
        let missing: BTreeSet<&str> = NOT_RUN
            .iter()
            .flat_map(|row| row.rows.split(", "))
            .collect();
        for number in 1..=50 {
            let row = format!("E{number}");
            let in_lists = (tried.contains(row.as_str()), missing.contains(row.as_str()));
            assert!(
                matches!(in_lists, (true, false) | (false, true)),
                "{row}: {in_lists:?}"
            );
        }
        assert!(
            ["K10", "K20", "K21", "K22"]
                .iter()
                .all(|row| missing.contains(row))
        );
    }

    #[test]
    fn the_rows_of_scenarios_are_the_rows_tried() {
        let claimed: BTreeSet<(String, &str)> = ALL
            .iter()
            .flat_map(|one| one.row.split(", ").map(|row| (row.to_owned(), one.name)))
            .collect();
        let stated: BTreeSet<(String, &str)> = TRIED
            .iter()
            .filter(|row| !row.row.starts_with('K'))
            .map(|row| (row.row.to_owned(), row.scenario))
            .collect();
        assert_eq!(claimed, stated);
    }
}
