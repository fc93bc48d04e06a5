//! The console in real Chromium: the journey from signing up to the first call in the audit log, each screen looked at in the
//! light, the dark and the phone's window, with pictures kept in `tests/output/screens`.

mod account;
mod catalog;
mod connected_apps;
mod connections;
mod journey;
mod machines;
mod members;
mod oauth_clients;
mod own_connectors;
mod passkeys;
mod screens;
mod sign_in;
