//! Rates delivered messages and keeps the journal
