//! What end-to-end tests and load drivers share: the program as a process, and webhooks as Meta
//! writes and signs them. None of it is code of the product.

pub mod cluster;
pub mod process;
pub mod survive;
pub mod tools;
pub mod webhook;
