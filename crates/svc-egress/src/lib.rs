//! Sends the outbox to the Graph API
