//! Meta's wire format to and from the vocabulary; signature, limits, error table
