//! Registry of approved message templates
