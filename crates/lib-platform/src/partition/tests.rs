//! Who does which part, and what follows when the work on one fails.

use super::*;

const WORK: Work = Work {
    name: "test",
    parts: 64,
};

fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        address: String::new(),
    }
}

#[test]
fn parts_are_spread_and_only_those_of_the_dead_move() {
    let all = [member("a"), member("b"), member("c")];
    let without = [member("a"), member("c")];
    let mut counts = BTreeMap::new();
    for part in 0..64 {
        let before = target(WORK, part, &all).unwrap();
        *counts.entry(before.name.clone()).or_insert(0) += 1;
        if before.name != "b" {
            assert_eq!(target(WORK, part, &without).unwrap(), before);
        }
    }
    assert!(counts.values().all(|count| *count >= 10), "{counts:?}");
}

#[test]
fn a_key_keeps_its_part() {
    assert_eq!(
        part_of("106540352242922", 64),
        part_of("106540352242922", 64)
    );
    assert_eq!(part_of("anything", 1), 0);
    // Written down once: data is placed by it.
    assert_eq!(part_of("106540352242922", 64), 54);
}

#[tokio::test]
async fn work_that_failed_for_a_while_is_begun_again_and_the_process_stays() {
    let life = Lifecycle::new();
    let leases = Arc::new(lib_storage::lease::Alone);
    let (begun, mut count) = watch::channel(0);
    let one = Work { parts: 1, ..WORK };
    let _shares = share(one, leases, &member("a"), &life, move |held| {
        begun.send_modify(|count| *count += 1);
        let time = *begun.borrow();
        async move {
            if time < 3 {
                return Err(Passing(anyhow::anyhow!("the store is away")).into());
            }
            held.lost().await;
            Ok(())
        }
    })
    .await;
    count.wait_for(|count| *count == 3).await.unwrap();
    assert!(life.failure().is_none() && !life.is_stopping());
    life.stop();
    assert!(life.drained(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn alone_it_has_everything_at_once_and_ends_with_the_service() {
    let life = Lifecycle::new();
    let leases = Arc::new(lib_storage::lease::Alone);
    let shares = share(WORK, leases, &member("a"), &life, |held| async move {
        held.lost().await;
        Ok(())
    })
    .await;
    assert_eq!(shares.here().len(), 64);
    life.stop();
    assert!(life.drained(Duration::from_secs(5)).await);
}
