//! Nothing here: this package holds only tests.
