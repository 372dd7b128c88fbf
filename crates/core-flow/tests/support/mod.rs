//! What tests of several widgets need: a flow that is sound, a moment, and words of a customer.

use std::num::NonZeroU32;

use core_flow::lab::Said;
use core_flow::{CompiledFlow, check};
use core_types::Timestamp;
use serde_json::Value;

/// A flow in which the checker finds no error, ready to run.
pub(crate) fn compiled(flow: &Value) -> CompiledFlow {
    let (definition, problems) = check(&flow.to_string());
    let errors: Vec<_> = problems.iter().filter(|it| it.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    CompiledFlow::compile(&definition.unwrap(), NonZeroU32::MIN).unwrap()
}

/// When the tests play.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_370_000).unwrap()
}

/// The customer writes.
pub(crate) fn says(text: &str) -> Said {
    Said::Text(text.to_owned())
}
