//! Meta's webhooks in: verify, admit durably, answer, split, hand on
