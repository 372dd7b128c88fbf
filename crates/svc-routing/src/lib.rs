//! Queues, offers and the agents' stream
