//! The command line of `toolmesh admin`: work on users, workspaces, connectors and keys without a browser. What the commands
//! do stands in `operate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::SecretString;

#[derive(Args, Debug)]
pub struct AdminArgs {
    /// Data folder of the ToolMesh that runs on this machine; without it DATABASE_URL, else ./data
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print one JSON value
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: AdminCommand,
}

#[derive(Subcommand, Debug)]
pub enum AdminCommand {
    /// Make a user
    CreateUser(CreateUser),
    /// Make a workspace and its first owner
    CreateWorkspace(CreateWorkspace),
    /// Enable a connector in a workspace
    EnableConnector(EnableConnector),
    /// Make an API key and print it, once
    CreateApiKey(CreateApiKey),
    /// Prove on your word that a domain is a workspace's, whose provider then speaks for its addresses
    VerifyDomain(VerifyDomain),
    /// Let a workspace's members log in without its provider again, for when it is gone and nobody gets in
    StopRequiringProvider(StopRequiringProvider),
    /// List the tools of a workspace
    ListTools(ListTools),
    /// Take away somebody's authenticator app, passkeys and recovery codes; they are told by mail
    ResetSecondFactor(ResetSecondFactor),
    /// List the keys that access tokens are signed with
    Keys,
    /// Bring in the next signing key before its time
    RotateKeys(RotateKeys),
    /// After the database was restored from a backup: end all logins, connections of apps and API keys, among which are those
    /// that the backup has brought back
    AfterRestore(AfterRestore),
}

#[derive(Args, Debug)]
pub struct AfterRestore {
    /// API keys go on, also those that were revoked since the backup was made
    #[arg(long)]
    pub keep_api_keys: bool,
}

#[derive(Args, Debug)]
pub struct RotateKeys {
    /// Drop all signing keys at once: every access token is refused within a second, and clients take a new one with their
    /// refresh token. For a key that got into wrong hands
    #[arg(long)]
    pub now: bool,
}

#[derive(Args, Debug)]
pub struct CreateUser {
    #[arg(long, value_name = "ADDRESS")]
    pub email: String,
    #[arg(long)]
    pub password: SecretString,
    /// The address counts as confirmed; no mail is sent
    #[arg(long)]
    pub verified: bool,
}

#[derive(Args, Debug)]
pub struct CreateWorkspace {
    /// First label of the workspace's host name
    #[arg(long)]
    pub slug: String,
    #[arg(long)]
    pub name: String,
    /// Address of a user
    #[arg(long, value_name = "EMAIL")]
    pub owner: String,
}

#[derive(Args, Debug)]
pub struct EnableConnector {
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    pub workspace: String,
    /// Connector of the catalog
    #[arg(long, value_name = "NAME", required_unless_present = "dadl", conflicts_with = "dadl")]
    pub connector: Option<String>,
    /// Connector of one's own, in a file
    #[arg(long, value_name = "FILE")]
    pub dadl: Option<PathBuf>,
    /// Name of the installation, which its tools' names begin with
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// One of the connector's credentials; may be repeated
    #[arg(long = "credential", value_name = "NAME=VALUE", value_parser = parse_credential)]
    pub credentials: Vec<Credential>,
}

#[derive(Args, Debug)]
pub struct CreateApiKey {
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    pub workspace: String,
    /// Address of a member, as whom the key acts
    #[arg(long, value_name = "EMAIL")]
    pub user: String,
    /// What the key is for
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Args, Debug)]
pub struct VerifyDomain {
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    pub workspace: String,
    /// The part of its addresses after the @
    #[arg(long, value_name = "DOMAIN")]
    pub domain: String,
}

#[derive(Args, Debug)]
pub struct StopRequiringProvider {
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    pub workspace: String,
}

#[derive(Args, Debug)]
pub struct ListTools {
    /// Slug of the workspace
    #[arg(long, value_name = "SLUG")]
    pub workspace: String,
    /// As this member sees them
    #[arg(long, value_name = "EMAIL")]
    pub user: Option<String>,
}

#[derive(Args, Debug)]
pub struct ResetSecondFactor {
    /// Address of somebody who lost them, and who you are sure it is
    #[arg(long, value_name = "ADDRESS")]
    pub email: String,
}

/// `NAME=VALUE` of a credential.
#[derive(Clone, Debug)]
pub struct Credential {
    pub name: String,
    pub value: SecretString,
}

fn parse_credential(text: &str) -> Result<Credential, &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok(Credential { name: name.to_owned(), value: SecretString::from(value.to_owned()) })
        }
        _ => Err("write NAME=VALUE"),
    }
}
