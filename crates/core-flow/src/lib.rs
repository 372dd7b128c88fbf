//! Flow definition, validation and the session engine
