//! The conversation log's state machine
