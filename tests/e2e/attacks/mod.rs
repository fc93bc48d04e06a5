//! Known attacks on login, sessions, the authorization server and the walls between workspaces, each tried as it was done
//! elsewhere. `tests/ATTACKS.md` is their table, with those that other files try.

mod login;
mod oauth;
mod operation;
mod sessions;
mod tenants;
