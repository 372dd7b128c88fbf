//! Real parts for tests: temporary storage, virtual clock, an in-process Frontdesk
