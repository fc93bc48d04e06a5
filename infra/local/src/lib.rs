//! ToolMesh on one machine: a private PostgreSQL cluster, the control plane, data-plane nodes, one port in front of them
//! and a mailbox for the mail they send; and the operator's command line.
//!
//! Owns processes, folders and ports. Knows nothing of tenants, tools or tokens: the planes are separate programs that
//! are configured by their environment, as they are in production.

pub mod admin;
pub mod cli;
pub mod config;
pub mod connector;
pub mod data_dir;
pub mod edge;
pub mod mailbox;
pub mod operate;
pub mod origins;
pub mod plane;
pub mod postgres;
pub mod process;
pub mod ready;
pub mod secrets;
pub mod up;

mod files;
mod page;
mod serve;
mod steps;
