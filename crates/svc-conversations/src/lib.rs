//! Owner of the conversation log, its outbox and timers
