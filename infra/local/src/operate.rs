//! What `toolmesh admin` does: the same code as the console's, with the operator as whoever may do it.
//!
//! Works on the database of a running system, which learns of changes as from any other. Knows no SQL.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use toolmesh_control_plane::accounts::SignUp;
use toolmesh_control_plane::accounts::external::providers::Registrations;
use toolmesh_control_plane::accounts::keys::{self, Draft, KeyScope, Life};
use toolmesh_control_plane::accounts::members::{self, Membership, Role};
use toolmesh_control_plane::connectors::{Install, Source};
use toolmesh_control_plane::error::Error;
use toolmesh_control_plane::jobs::restored;
use toolmesh_control_plane::oauth::keys::{KeyRing, Rotation, Standing, wall_clock};
use toolmesh_control_plane::tenants::{self, Tenant};
use toolmesh_control_plane::{Config, Core, config};
use toolmesh_proto::claims::{self, Subject};
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::slug::TenantOrigins;

use crate::admin::{
    AdminArgs, AdminCommand, AfterRestore, CreateApiKey, CreateUser, CreateWorkspace, EnableConnector,
    ListTools, ResetSecondFactor, RotateKeys, StopRequiringProvider, VerifyDomain,
};
use crate::config::Environment;
use crate::ready::Ready;
use crate::secrets::Secrets;

/// Connections that one command needs.
const CONNECTIONS: u32 = 2;

/// What a command prints: for people, and for programs.
struct Outcome {
    text: String,
    json: Value,
}

/// Does what the command line says and prints what came of it.
///
/// # Errors
/// One sentence that says what was wrong and the way out.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let outcome = carry_out(&args, &Environment::read()).await?;
    let text = if args.json { outcome.json.to_string() } else { outcome.text };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

async fn carry_out(args: &AdminArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let config = configuration(args, env)?;
    let origins = config.tenant_origins.clone();
    let (core, mail) = Core::new(&config, CONNECTIONS).await.map_err(plain)?;
    let result = match &args.command {
        AdminCommand::CreateUser(input) => create_user(&core, input).await,
        AdminCommand::CreateWorkspace(input) => create_workspace(&core, &origins, input).await,
        AdminCommand::EnableConnector(input) => enable_connector(&core, input).await,
        AdminCommand::CreateApiKey(input) => create_api_key(&core, input).await,
        AdminCommand::VerifyDomain(input) => verify_domain(&core, input).await,
        AdminCommand::StopRequiringProvider(input) => stop_requiring_provider(&core, input).await,
        AdminCommand::ListTools(input) => list_tools(&core, input).await,
        AdminCommand::ResetSecondFactor(input) => reset_second_factor(&core, input).await,
        AdminCommand::Keys => signing_keys(&core).await,
        AdminCommand::RotateKeys(input) => rotate_keys(&core, input).await,
        AdminCommand::AfterRestore(input) => after_restore(&core, input).await,
    };
    // Told to stop before it begins, it sends what is queued and ends.
    let stop = CancellationToken::new();
    stop.cancel();
    mail.run(stop).await;
    core.db.close().await;
    result
}

async fn create_user(core: &Core, input: &CreateUser) -> anyhow::Result<Outcome> {
    let name = input.email.split('@').next().unwrap_or_default().to_owned();
    let sign_up = SignUp { name, email: input.email.clone(), password: input.password.clone() };
    anyhow::ensure!(
        input.verified,
        "add --verified: an operator vouches for the address; people who confirm it themselves sign up in the browser"
    );
    let user = core.accounts.create_verified(sign_up).await.map_err(plain)?;
    Ok(Outcome {
        text: format!("User {} is made.", user.email),
        json: json!({ "user_id": user.id, "email": user.email }),
    })
}

async fn create_workspace(
    core: &Core,
    origins: &TenantOrigins,
    input: &CreateWorkspace,
) -> anyhow::Result<Outcome> {
    let owner = user(core, &input.owner).await?;
    let made = tenants::create(&core.db, &core.vault, owner.id, &input.name, &input.slug).await;
    let (tenant, _) = made.map_err(plain)?;
    let origin = origins.of_stored(tenant.slug.as_str());
    let mcp_url = claims::resource(&origin);
    Ok(Outcome {
        text: format!("Workspace {} is made. Its endpoint is {mcp_url}", tenant.slug),
        json: json!({ "tenant_id": tenant.id, "slug": tenant.slug.as_str(), "origin": origin, "mcp_url": mcp_url }),
    })
}

async fn enable_connector(core: &Core, input: &EnableConnector) -> anyhow::Result<Outcome> {
    let operator = operator(core, &workspace(core, &input.workspace).await?).await?;
    let source = match (&input.dadl, &input.connector) {
        (Some(file), _) => dadl(file)?,
        (None, Some(name)) => Source::BuiltIn(known(core, name)?),
        (None, None) => {
            anyhow::bail!("name a connector of the catalog with --connector, or a file with --dadl")
        }
    };
    let install = Install {
        source,
        name: input.name.clone().unwrap_or_default(),
        base_url: input.base_url.clone().unwrap_or_default(),
        credentials: input.credentials.iter().map(|c| (c.name.clone(), c.value.clone())).collect(),
    };
    let made = core.installations.install(&operator, install).await.map_err(plain)?;
    let (tools, disabled) = (made.connector.tools.len(), made.disabled.len());
    let missing = made.missing_credentials();
    let hint = if missing.is_empty() {
        String::new()
    } else {
        format!(" It still needs a credential: --credential {}=VALUE.", missing.join("=VALUE --credential "))
    };
    Ok(Outcome {
        text: format!("{} is enabled as {} with {tools} tools.{hint}", made.connector.title, made.name),
        json: json!({ "installation_id": made.id, "name": made.name, "tools": tools, "disabled": disabled }),
    })
}

async fn create_api_key(core: &Core, input: &CreateApiKey) -> anyhow::Result<Outcome> {
    let tenant = workspace(core, &input.workspace).await?;
    let user = user(core, &input.user).await?;
    let member = members::membership(&core.db, tenant.id, user.id).await;
    let member = member.map_err(|error| not_a_member(error, &input.user, &tenant))?;
    let draft = Draft {
        name: input.name.as_deref().unwrap_or("Made by an operator"),
        scope: KeyScope::All,
        life: Life::Endless,
    };
    let key = keys::create(&core.db, &member, Subject::User(user.id), &draft).await.map_err(plain)?;
    let secret = key.secret.expose_secret();
    Ok(Outcome { text: secret.to_owned(), json: json!({ "api_key_id": key.id, "key": secret }) })
}

async fn verify_domain(core: &Core, input: &VerifyDomain) -> anyhow::Result<Outcome> {
    let tenant = workspace(core, &input.workspace).await?;
    let domain = core.external.vouch_for_domain(tenant.id, &input.domain).await.map_err(plain)?;
    Ok(Outcome {
        text: format!("{domain} is proven to be {}'s.", tenant.slug),
        json: json!({ "tenant_id": tenant.id, "domain": domain }),
    })
}

async fn stop_requiring_provider(core: &Core, input: &StopRequiringProvider) -> anyhow::Result<Outcome> {
    let tenant = workspace(core, &input.workspace).await?;
    core.external.release(tenant.id).await.map_err(plain)?;
    Ok(Outcome {
        text: format!("{} no longer requires its provider. Members log in as they did before.", tenant.slug),
        json: json!({ "tenant_id": tenant.id }),
    })
}

async fn list_tools(core: &Core, input: &ListTools) -> anyhow::Result<Outcome> {
    let tenant = workspace(core, &input.workspace).await?;
    if let Some(email) = &input.user {
        let user = user(core, email).await?;
        let member = members::membership(&core.db, tenant.id, user.id).await;
        member.map_err(|error| not_a_member(error, email, &tenant))?;
    }
    let installations = core.installations.list(tenant.id).await.map_err(plain)?;
    // A member sees what is switched on; without --user, the operator sees everything.
    let shown = |enabled: bool| enabled || input.user.is_none();
    let mut lines = Vec::new();
    let mut tools = Vec::new();
    for installation in &installations {
        for tool in installation.tools().into_iter().filter(|tool| shown(tool.enabled)) {
            let state = if tool.enabled { "on " } else { "off" };
            lines.push(format!("{state}  {:<9}  {}", tool.access.as_str(), tool.public_name));
            tools.push(json!({
                "name": tool.public_name, "installation": installation.name, "access": tool.access.as_str(),
                "enabled": tool.enabled, "title": tool.title, "description": tool.description,
            }));
        }
    }
    let text =
        if lines.is_empty() { "No tools. Enable a connector first.".to_owned() } else { lines.join("\n") };
    Ok(Outcome { text, json: Value::Array(tools) })
}

async fn reset_second_factor(core: &Core, input: &ResetSecondFactor) -> anyhow::Result<Outcome> {
    let user = user(core, &input.email).await?;
    let had = core.factors.has_any(user.id).await.map_err(plain)?;
    anyhow::ensure!(had, "{} has no second factor: nothing was changed", user.email);
    core.factors.reset(&user).await.map_err(plain)?;
    let text = format!(
        "{} has no second factor any more: the password alone logs them in until they add a new one. They are told by mail.",
        user.email
    );
    Ok(Outcome { text, json: json!({ "user_id": user.id, "email": user.email }) })
}

async fn signing_keys(core: &Core) -> anyhow::Result<Outcome> {
    let ring = KeyRing::load(&core.db, &core.vault, wall_clock()).await.map_err(plain)?;
    let facts = ring.facts().await.map_err(plain)?;
    let now = OffsetDateTime::now_utc();
    let mut lines = Vec::new();
    let mut keys = Vec::new();
    for fact in &facts {
        let days = (now - fact.times.published_at).whole_days();
        let (word, until) = match fact.standing {
            Standing::Next => ("next", format!("signs from {}", moment(fact.times.sign_from))),
            Standing::Signs => ("signs", format!("signs until {}", moment(fact.times.sign_until))),
            Standing::Verifies => ("verifies", format!("dropped at {}", moment(fact.times.retire_at))),
            Standing::Retired => (
                "retired",
                fact.retired_at.map_or_else(String::new, |at| format!("dropped at {}", moment(at))),
            ),
        };
        lines.push(format!("{}  {word:<8}  {days:>3} days old  {until}", fact.kid));
        keys.push(json!({
            "kid": fact.kid, "state": word, "age_days": days, "published_at": moment(fact.times.published_at),
            "sign_from": moment(fact.times.sign_from), "sign_until": moment(fact.times.sign_until),
            "retire_at": moment(fact.times.retire_at), "retired_at": fact.retired_at.map(moment),
        }));
    }
    Ok(Outcome { text: lines.join("\n"), json: Value::Array(keys) })
}

async fn rotate_keys(core: &Core, input: &RotateKeys) -> anyhow::Result<Outcome> {
    let ring = KeyRing::load(&core.db, &core.vault, wall_clock()).await.map_err(plain)?;
    ring.rotate(if input.now { Rotation::Now } else { Rotation::Early }).await.map_err(plain)?;
    let keys = signing_keys(core).await?;
    let said = if input.now {
        "All signing keys are dropped. Nodes refuse the access tokens that they signed; clients get new ones by themselves."
    } else {
        "The next signing key is published. It signs in a day; nothing breaks."
    };
    Ok(Outcome { text: format!("{said}\n{}", keys.text), json: json!({ "keys": keys.json }) })
}

async fn after_restore(core: &Core, input: &AfterRestore) -> anyhow::Result<Outcome> {
    let ended =
        restored::end_what_came_back(&core.db, &core.vault, input.keep_api_keys).await.map_err(plain)?;
    let keys = if input.keep_api_keys {
        "API keys go on; revoke in the console those that were revoked before."
    } else {
        "All API keys are revoked."
    };
    let text = format!(
        "In {} workspaces, {} connections of apps and {} logins are ended, and all signing keys are new. {keys}\n\
         Passwords, second factors, members, roles and settings are what they were when the backup was made: whatever was \
         changed since has to be changed again.",
        ended.workspaces, ended.grants, ended.sessions
    );
    let json =
        json!({ "workspaces": ended.workspaces, "connections": ended.grants, "sessions": ended.sessions });
    Ok(Outcome { text, json })
}

fn moment(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// The operator acts as the workspace's first owner, whose name stands in the records.
async fn operator(core: &Core, tenant: &Tenant) -> anyhow::Result<Membership> {
    let mut tx = core.db.tenant(tenant.id).await?;
    let members = members::list(&mut tx).await.map_err(plain)?;
    let owner =
        members.into_iter().find(|member| member.role == Role::Owner && member.suspended_at.is_none());
    let owner = owner.with_context(|| format!("workspace {} has no owner", tenant.slug))?;
    Ok(Membership { tenant: tenant.id, user: owner.user_id, role: Role::Owner })
}

async fn workspace(core: &Core, slug: &str) -> anyhow::Result<Tenant> {
    tenants::by_slug(&core.db, slug).await.map_err(|error| match error {
        Error::NotFound => {
            anyhow::anyhow!("there is no workspace {slug:?}; make it with: toolmesh admin create-workspace")
        }
        error => plain(error),
    })
}

async fn user(core: &Core, email: &str) -> anyhow::Result<toolmesh_control_plane::accounts::User> {
    core.accounts.user_by_email(email).await.map_err(|error| match error {
        Error::NotFound => {
            anyhow::anyhow!("there is no user {email:?}; make one with: toolmesh admin create-user")
        }
        error => plain(error),
    })
}

fn known(core: &Core, name: &str) -> anyhow::Result<String> {
    if core.catalog.get(name).is_some() {
        return Ok(name.to_owned());
    }
    let all: Vec<&str> = core.catalog.names().collect();
    anyhow::bail!("the catalog has no connector {name:?}; it has {}", all.join(", "))
}

fn dadl(file: &Path) -> anyhow::Result<Source> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let origin = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(Source::Dadl { text, origin })
}

fn not_a_member(error: Error, email: &str, tenant: &Tenant) -> anyhow::Error {
    match error {
        Error::NotFound => {
            anyhow::anyhow!("{email} is not a member of {}; invite them in the console", tenant.slug)
        }
        error => plain(error),
    }
}

/// A sentence for the terminal: what is wrong with which input, or the whole chain of a failure.
fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::Field { field: "source", message } => anyhow::anyhow!("{message}"),
        Error::Field { field, message } => anyhow::anyhow!("{}: {message}", field.replace('_', "-")),
        error => anyhow::Error::new(error),
    }
}

/// The control plane's configuration: of the system that runs on the data folder, or of the environment.
fn configuration(args: &AdminArgs, env: &Environment) -> anyhow::Result<Config> {
    let data = args.data.clone().unwrap_or_else(|| PathBuf::from("data"));
    let from_env = if args.data.is_none() { env.database_url.clone() } else { None };
    let ready = Ready::read(&data);
    if from_env.is_none() && ready.is_none() {
        anyhow::bail!(
            "nothing runs on {}: start it with toolmesh up --data {0}, or set DATABASE_URL",
            data.display()
        );
    }
    let running = ready.as_ref();
    let database = from_env.or_else(|| running.map(|r| SecretString::from(r.database_url.clone())));
    let console = env.console_url.clone().or_else(|| running.map(|r| r.console_url.clone()));
    let tenant = env.tenant_url.clone().or_else(|| running.map(|r| r.tenant_url.clone()));
    let known = |text: &String| !text.is_empty();
    let smtp = env.smtp_url.as_ref().map(|url| url.expose_secret().to_owned());
    let smtp = smtp.or_else(|| running.map(|r| r.smtp_url.clone()).filter(known));
    let from = env.mail_from.clone().or_else(|| running.map(|r| r.mail_from.clone()).filter(known));
    let secrets = Secrets::at(data.join("secrets"));
    let kek = env.kek_file.clone().unwrap_or_else(|| secrets.kek_file());
    let join = env.join_secret_file.clone().unwrap_or_else(|| secrets.join_secret_file());
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(Config {
        extra_roots: Vec::new(),
        database_url: database.context("set DATABASE_URL, or name the data folder with --data")?,
        console_origin: console.unwrap_or_else(|| "http://localhost:8080".to_owned()),
        tenant_origins: TenantOrigins::parse(tenant.as_deref().unwrap_or("http://{slug}.localhost:8080"))?,
        http_listen: loopback,
        grpc_listen: loopback,
        kek: config::kek_from_file(&kek)?,
        join_secret: config::join_secret_from_file(&join)?,
        smtp_url: SecretString::from(smtp.unwrap_or_else(|| "smtp://127.0.0.1:25".to_owned())),
        mailbox_url: None,
        mail_from: from.unwrap_or_else(|| "ToolMesh <no-reply@localhost>".to_owned()),
        egress: EgressPolicy {
            allow_private: running.is_some_and(|r| r.allow_private_upstreams) || env.allow_private_upstreams,
        },
        trusted_proxies: Vec::new(),
        // Nobody logs in by this program; a domain is proven by its word.
        sign_in: Registrations::default(),
        dns_server: None,
    })
}
