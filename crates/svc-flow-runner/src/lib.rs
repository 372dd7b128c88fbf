//! Flows and their versions; the stateless session engine
