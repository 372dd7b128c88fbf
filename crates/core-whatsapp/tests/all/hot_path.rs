//! The usual delivery, one message, is read in microseconds. The bound here only catches a mistake
//! of orders of magnitude: it has to hold on a busy machine and without optimisation.

use std::time::{Duration, Instant};

use core_whatsapp::webhook::read;

use crate::fixtures::own_named;

#[test]
fn one_message_takes_microseconds() {
    let fixture = own_named("message_text");
    let compact: serde_json::Value = serde_json::from_slice(&fixture.body).unwrap();
    let body = compact.to_string();
    let rounds = 2_000_u32;
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                assert_eq!(read(body.as_bytes()).unwrap().len(), 1);
            }
            start.elapsed() / rounds
        })
        .min()
        .unwrap_or_default();
    println!("{} bytes read in {best:?}", body.len());
    assert!(best < Duration::from_millis(1), "{best:?}");
}
