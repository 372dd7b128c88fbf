//! Loading settings: every mistake by itself, with a small table of keys.
