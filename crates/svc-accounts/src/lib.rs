//! Tenants, plans, users, connectors and numbers
