//! Queues, capacity and offers: policy and state machine
