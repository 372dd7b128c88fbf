//! A faithful local stand-in for Meta
