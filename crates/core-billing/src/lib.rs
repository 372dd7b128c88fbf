//! Eras, rate cards, rating and balanced postings
